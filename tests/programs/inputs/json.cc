// Templates in bulk: nlohmann's JSON library, with values of many types converted both ways.
#include <array>
#include <iostream>
#include <list>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

struct Point {
    double x, y, z;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Point, x, y, z)

struct Shape {
    std::string name;
    std::vector<Point> corners;
    std::map<std::string, std::vector<int>> labels;
    std::array<std::tuple<int, std::string, double>, 3> marks;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Shape, name, corners, labels, marks)

struct Scene {
    std::list<Shape> shapes;
    std::unordered_map<std::string, std::set<std::string>> groups;
    std::pair<Point, Shape> camera;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(Scene, shapes, groups, camera)

int main(int argc, char** argv) {
    nlohmann::ordered_json ordered = nlohmann::ordered_json::parse(argc > 1 ? argv[1] : "{}");
    Scene scene = nlohmann::json(ordered).get<Scene>();
    nlohmann::json again = scene;
    std::cout << again.dump(2) << again.diff(again, ordered).flatten().unflatten() << ordered.patch(again);
    for (auto& bytes : {nlohmann::json::to_cbor(again), nlohmann::json::to_msgpack(again),
                        nlohmann::json::to_bson(again), nlohmann::json::to_ubjson(again)})
        std::cout << nlohmann::json::from_cbor(bytes, true, false).size();
}
