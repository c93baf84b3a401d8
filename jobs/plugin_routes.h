// PluginRoutes: the routes of what a job's plugins put out beside their main outputs,
// "<plugin>-<output>", each with the one output that has it.
//
// A route names a folder of a file sink, so events of two origins would stand in it together and
// nobody could tell them apart. Filled while a job is built; after that any thread may read it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/status.h"

namespace weir {

class PluginRoutes {
 public:
  // InvalidArgument names both where another plugin's output has the same route.
  Status Add(std::string_view plugin, std::string_view output);
  // InvalidArgument names the output that has this route, which rules send events to.
  Status CheckRule(std::string_view route) const;

 private:
  struct Origin {
    std::string plugin, output;
    bool operator==(const Origin&) const = default;
  };
  std::map<std::string, Origin, std::less<>> origins_;  // by route
};

}  // namespace weir
