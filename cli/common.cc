#include "cli/common.h"

#include <fmt/format.h>

#include <iostream>
#include <sstream>

namespace weir::cli {

void PrintError(const Status& status) {
  std::istringstream lines{std::string(status.message())};
  for (std::string line; std::getline(lines, line);) std::cerr << "weir: " << line << "\n";
}

StatusOr<Parameters::Values> ParseParameters(const std::vector<std::string>& flags) {
  Parameters::Values values;
  for (const std::string& flag : flags) {
    const size_t equals = flag.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          fmt::format("-D {}: a parameter is given as key=value", flag));
    }
    if (!values.emplace(flag.substr(0, equals), flag.substr(equals + 1)).second) {
      return absl::InvalidArgumentError(
          fmt::format("-D {}: the parameter is given twice", flag.substr(0, equals)));
    }
  }
  return values;
}

void PrintParameters(const JobLibrary& library) {
  std::cout << "Parameters of " << library.name() << ", each given as -D name=value:\n";
  for (const Parameters::Declaration& declared : library.Describe()) {
    std::string note = "required";
    if (declared.fallback) {
      note = declared.fallback->empty() ? "optional" : "default " + *declared.fallback;
    }
    std::cout << fmt::format("  {:<12} {:<11} {} ({})\n", declared.name, declared.type,
                             declared.help, note);
  }
}

}  // namespace weir::cli
