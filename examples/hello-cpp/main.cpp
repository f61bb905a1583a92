// The smallest useful C++ function: reads its event from stdin and prints its result as the last line.
#include <iostream>
#include <nlohmann/json.hpp>

int main() {
    auto event = nlohmann::json::parse(std::cin);
    std::string name = event.value("name", "NanoGrid");
    std::cout << nlohmann::json({{"statusCode", 200}, {"body", "Hello, " + name + "!"}}) << std::endl;
}
