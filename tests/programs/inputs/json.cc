// Templates in bulk: nlohmann's JSON library, with values of many types converted both ways.
#include <array>
#include <iostream>
#include <list>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
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
    Scene scene = nlohmann::json::parse(argc > 1 ? argv[1] : "{}").get<Scene>();
    nlohmann::json again = scene;
    std::cout << again.dump(2) << nlohmann::json::diff(again, scene).flatten();
}
