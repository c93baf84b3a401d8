// Parameters: what a job takes from the command line (`-D key=value`), declared by reading it,
// typed, with a default and a line of help.
//
//   std::string input = params.Text("input", "a file or a folder of JSON lines");  // required
//   double rate = params.Number("rate", "events per second; 0: no limit", 0);      // optional
//
// A builder reads all its parameters, in whatever order, and goes on when one is missing or
// malformed: it then gets the type's empty value, and the errors are reported together, next to
// those of the graph. Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "core/time.h"

namespace weir {

// A file that travels with the job: its bytes were read before the builder ran, and are part of the
// job's identity.
struct Resource {
  std::string name;  // what the identity calls it: the path as it was given, or "plugin redact"
  std::string path;  // where it was read; for messages
  std::string bytes;
  std::string sha256;  // in hex
  bool given() const { return !path.empty(); }
};

// A plugin that the job names, and its own settings by key.
struct PluginResource {
  std::string name;
  Resource file;
  std::map<std::string, std::string> settings;
};

class Parameters {
 public:
  using Values = std::map<std::string, std::string>;
  using ResourceLoader = std::function<StatusOr<Resource>(const std::string& path)>;

  // Relative paths are below `working_dir`; empty: the process's own. load_plugin finds a plugin by
  // its name (PluginsIn); without it there are none.
  Parameters(Values values, ResourceLoader load_resource, std::string working_dir = "",
             ResourceLoader load_plugin = nullptr);

  // Of the job's parts (StageSpec::part) the one whose code the builder is to make; empty: the
  // graph is enough, unless the job has one part.
  const std::string& part() const { return part_; }
  void set_part(std::string part) { part_ = std::move(part); }

  std::string Text(std::string_view name, std::string_view help,
                   std::optional<std::string> fallback = std::nullopt);
  // A file or a folder. Absolute: a relative one is below the working directory of whoever gave it.
  std::string Path(std::string_view name, std::string_view help,
                   std::optional<std::string> fallback = std::nullopt);
  int64_t Integer(std::string_view name, std::string_view help,
                  std::optional<int64_t> fallback = std::nullopt);
  double Number(std::string_view name, std::string_view help,
                std::optional<double> fallback = std::nullopt);
  bool Flag(std::string_view name, std::string_view help, bool fallback);
  Duration Time(std::string_view name, std::string_view help,
                std::optional<Duration> fallback = std::nullopt);
  uint64_t Size(std::string_view name, std::string_view help,
                std::optional<uint64_t> fallback = std::nullopt);
  // Comma-separated; empty parts are dropped. Always optional.
  std::vector<std::string> List(std::string_view name, std::string_view help);
  // The file's content. Always optional: see Resource::given().
  Resource File(std::string_view name, std::string_view help);
  // Plugins by their names, comma-separated and in order, each with its settings: the parameters
  // plugin.NAME.KEY. Those that cannot be found are left out, and are errors. Always optional.
  std::vector<PluginResource> Plugins(std::string_view name, std::string_view help);

  struct Declaration {
    std::string name;
    std::string type;
    std::optional<std::string> fallback;  // nullopt: required
    std::string help;
  };
  const std::vector<Declaration>& declarations() const { return declarations_; }
  const std::vector<Resource>& resources() const { return resources_; }
  // The values as the job goes by them: those that were given, with paths made absolute.
  const Values& values() const { return values_; }

  // After the builder has run: what was missing, malformed, unreadable, or is no parameter of this
  // job.
  std::vector<std::string> Errors() const;
  // Adds an error of the builder's own: a value that has the right type and is wrong all the same.
  void AddError(std::string_view name, std::string_view what);
  // The same where the value must not be shown.
  void AddErrorOfSecret(std::string_view name, std::string_view what);

 private:
  const std::string* Declare(std::string_view name, std::string_view type, std::string_view help,
                             std::optional<std::string> fallback);

  Values values_;
  const ResourceLoader load_resource_;
  const std::string working_dir_;
  std::string part_;
  const ResourceLoader load_plugin_;
  std::vector<Declaration> declarations_;
  std::string plugins_name_;        // the parameter that names plugins; empty: the job takes none
  std::set<std::string> settings_;  // parameters that are settings of a plugin
  std::vector<Resource> resources_;
  std::vector<std::string> errors_;
};

// Reads resources from the local disk.
Parameters::ResourceLoader LocalResources();
// Finds plugins in these folders of the local disk, and nowhere else: the first that has
// lib<name>.so counts. NotFound lists the folders.
Parameters::ResourceLoader PluginsIn(std::vector<std::string> folders);
// Hands out resources that were read elsewhere, for a job that is built once more: files, or with
// `plugins` plugins. NotFound for any other.
Parameters::ResourceLoader ResourcesThatTravelled(std::vector<Resource> resources, bool plugins);
std::string Sha256Hex(std::string_view bytes);

}  // namespace weir
