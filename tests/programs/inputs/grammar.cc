// Templates in depth: a grammar of Boost.Spirit, and containers of Boost.MultiIndex.
#include <boost/multi_index/hashed_index.hpp>
#include <boost/multi_index/member.hpp>
#include <boost/multi_index/ordered_index.hpp>
#include <boost/multi_index/sequenced_index.hpp>
#include <boost/multi_index_container.hpp>
#include <boost/spirit/include/phoenix.hpp>
#include <boost/spirit/include/qi.hpp>
#include <iostream>
#include <string>

namespace qi = boost::spirit::qi;
namespace px = boost::phoenix;
namespace mi = boost::multi_index;

template <typename It>
struct Calculator : qi::grammar<It, double(), qi::space_type> {
    Calculator() : Calculator::base_type(sum) {
        sum = product[qi::_val = qi::_1] >>
              *(('+' >> product[qi::_val += qi::_1]) | ('-' >> product[qi::_val -= qi::_1]));
        product = power[qi::_val = qi::_1] >>
                  *(('*' >> power[qi::_val *= qi::_1]) | ('/' >> power[qi::_val /= qi::_1]));
        power = atom[qi::_val = qi::_1] >> -('^' >> power[qi::_val = px::bind(&raise, qi::_val, qi::_1)]);
        atom = qi::double_[qi::_val = qi::_1] | names[qi::_val = qi::_1] | ('(' >> sum[qi::_val = qi::_1] >> ')') |
               ('-' >> atom[qi::_val = -qi::_1]) | ("max(" >> (sum % ',')[qi::_val = px::bind(&most, qi::_1)] >> ')');
        names.add("one", 1.0)("two", 2.0)("ten", 10.0);
    }
    static double raise(double a, double b) { return __builtin_pow(a, b); }
    static double most(std::vector<double> const& all) { return *std::max_element(all.begin(), all.end()); }
    qi::rule<It, double(), qi::space_type> sum, product, power, atom;
    qi::symbols<char, double> names;
};

struct Result {
    std::string text;
    double value;
    int line;
};
using Results = mi::multi_index_container<
    Result, mi::indexed_by<mi::sequenced<>, mi::hashed_unique<mi::member<Result, std::string, &Result::text>>,
                           mi::ordered_non_unique<mi::member<Result, double, &Result::value>>,
                           mi::ordered_non_unique<mi::member<Result, int, &Result::line>>>>;

int main() {
    Calculator<std::string::const_iterator> calculator;
    Results results;
    std::string line;
    for (int n = 1; std::getline(std::cin, line); n++) {
        auto from = line.cbegin();
        double value = 0;
        if (qi::phrase_parse(from, line.cend(), calculator, qi::space, value) && from == line.cend())
            results.push_back({line, value, n});
    }
    for (auto const& r : results.get<2>()) std::cout << r.line << ": " << r.text << " = " << r.value << "\n";
}
