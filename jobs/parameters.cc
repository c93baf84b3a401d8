#include "jobs/parameters.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "core/check.h"
#include "core/environment.h"
#include "core/limits.h"
#include "operators/transforms/plugin_library.h"

namespace weir {
namespace {

constexpr std::string_view kSettingPrefix = "plugin.";

template <class T>
std::optional<T> ParseNumber(const std::string& text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Levenshtein's, for "did you mean".
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t substituted = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

Parameters::Parameters(Values values, ResourceLoader load_resource, std::string working_dir,
                       ResourceLoader load_plugin)
    : values_(std::move(values)),
      load_resource_(std::move(load_resource)),
      working_dir_(working_dir.empty() ? std::filesystem::current_path().string()
                                       : std::move(working_dir)),
      load_plugin_(std::move(load_plugin)) {}

const std::string* Parameters::Declare(std::string_view name, std::string_view type,
                                       std::string_view help, std::optional<std::string> fallback) {
  auto value = values_.find(std::string(name));
  if (value == values_.end() && !fallback) {
    errors_.push_back(
        fmt::format("parameter '{}' is missing: -D {}=<{}>, {}", name, name, type, help));
  }
  declarations_.push_back(
      {std::string(name), std::string(type), std::move(fallback), std::string(help)});
  return value == values_.end() ? nullptr : &value->second;
}

void Parameters::AddError(std::string_view name, std::string_view what) {
  auto value = values_.find(std::string(name));
  errors_.push_back(fmt::format("parameter '{}' = '{}': {}", name,
                                value == values_.end() ? "" : value->second, what));
}

void Parameters::AddErrorOfSecret(std::string_view name, std::string_view what) {
  errors_.push_back(fmt::format("parameter '{}': {}", name, what));
}

std::string Parameters::Text(std::string_view name, std::string_view help,
                             std::optional<std::string> fallback) {
  const std::string* value = Declare(name, "text", help, fallback);
  return value != nullptr ? *value : fallback.value_or("");
}

std::string Parameters::Path(std::string_view name, std::string_view help,
                             std::optional<std::string> fallback) {
  if (Declare(name, "path", help, fallback) == nullptr) return fallback.value_or("");
  std::string& value = values_.find(std::string(name))->second;
  if (value.empty()) {
    AddError(name, "not a path");
    return value;
  }
  // One folder has one name, however it was typed.
  std::string path = (std::filesystem::path(working_dir_) / value).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return value = path;
}

int64_t Parameters::Integer(std::string_view name, std::string_view help,
                            std::optional<int64_t> fallback) {
  const std::string* value = Declare(
      name, "integer", help, fallback ? std::optional(std::to_string(*fallback)) : std::nullopt);
  if (value == nullptr) return fallback.value_or(0);
  auto number = ParseNumber<int64_t>(*value);
  if (!number) AddError(name, "not an integer");
  return number.value_or(0);
}

double Parameters::Number(std::string_view name, std::string_view help,
                          std::optional<double> fallback) {
  const std::string* value = Declare(
      name, "number", help, fallback ? std::optional(fmt::format("{}", *fallback)) : std::nullopt);
  if (value == nullptr) return fallback.value_or(0);
  auto number = ParseNumber<double>(*value);
  if (!number || !std::isfinite(*number)) AddError(name, "not a number");
  return number.value_or(0);
}

bool Parameters::Flag(std::string_view name, std::string_view help, bool fallback) {
  const std::string* value = Declare(name, "true|false", help, fallback ? "true" : "false");
  if (value == nullptr) return fallback;
  if (*value == "true" || *value == "1" || *value == "yes") return true;
  if (*value != "false" && *value != "0" && *value != "no")
    AddError(name, "neither true nor false");
  return false;
}

Duration Parameters::Time(std::string_view name, std::string_view help,
                          std::optional<Duration> fallback) {
  const std::string* value = Declare(
      name, "duration", help, fallback ? std::optional(FormatDuration(*fallback)) : std::nullopt);
  if (value == nullptr) return fallback.value_or(0);
  StatusOr<Duration> duration = ParseDuration(*value);
  if (!duration.ok()) AddError(name, std::string(duration.status().message()));
  return duration.ok() ? *duration : 0;
}

uint64_t Parameters::Size(std::string_view name, std::string_view help,
                          std::optional<uint64_t> fallback) {
  const std::string* value =
      Declare(name, "size", help, fallback ? std::optional(FormatSize(*fallback)) : std::nullopt);
  if (value == nullptr) return fallback.value_or(0);
  StatusOr<uint64_t> size = ParseSize(*value);
  if (!size.ok()) AddError(name, std::string(size.status().message()));
  return size.ok() ? *size : 0;
}

std::vector<std::string> Parameters::List(std::string_view name, std::string_view help) {
  std::vector<std::string> parts;
  const std::string* value = Declare(name, "list", help, "");
  if (value == nullptr || value->empty()) return parts;
  for (size_t start = 0; start <= value->size();) {
    size_t comma = std::min(value->find(',', start), value->size());
    if (comma > start) parts.push_back(value->substr(start, comma - start));
    start = comma + 1;
  }
  if (parts.empty()) AddError(name, "there is nothing between its commas; leave it out altogether");
  return parts;
}

Resource Parameters::File(std::string_view name, std::string_view help) {
  const std::string* value = Declare(name, "file", help, "");
  if (value == nullptr || value->empty()) return {};
  StatusOr<Resource> resource = load_resource_(*value);
  if (!resource.ok()) {
    AddError(name, std::string(resource.status().message()));
    return {};
  }
  resources_.push_back(*resource);
  return *std::move(resource);
}

std::vector<PluginResource> Parameters::Plugins(std::string_view name, std::string_view help) {
  plugins_name_ = std::string(name);
  const std::vector<std::string> names = List(name, help);
  declarations_.push_back({fmt::format("{}NAME.KEY", kSettingPrefix), "text", "",
                           "a plugin's own setting, such as plugin.redact.field"});
  std::vector<PluginResource> plugins;
  std::set<std::string> seen;
  for (const std::string& plugin : names) {
    if (!IsPluginName(plugin)) {
      AddError(name, fmt::format("'{}' is no name of a plugin: 1 to {} letters, digits, '_' and "
                                 "'-', a letter or digit first",
                                 plugin, limits::kPluginNameBytesMax));
      continue;
    }
    if (!seen.insert(plugin).second) {
      AddError(name, fmt::format("plugin '{}' is named twice", plugin));
      continue;
    }
    PluginResource resource{plugin, {}, {}};
    const std::string prefix = fmt::format("{}{}.", kSettingPrefix, plugin);
    for (const auto& [key, value] : values_) {
      if (!key.starts_with(prefix) || key.size() == prefix.size()) continue;
      resource.settings[key.substr(prefix.size())] = value;
      settings_.insert(key);
    }
    StatusOr<Resource> file =
        load_plugin_ ? load_plugin_(plugin)
                     : absl::NotFoundError(fmt::format("there is no plugin '{}' here", plugin));
    if (!file.ok()) {
      AddError(name, std::string(file.status().message()));
      continue;
    }
    resources_.push_back(*file);
    resource.file = *std::move(file);
    plugins.push_back(std::move(resource));
  }
  return plugins;
}

std::vector<std::string> Parameters::Errors() const {
  std::vector<std::string> errors = errors_;
  for (const auto& [name, value] : values_) {
    if (settings_.count(name) > 0) continue;
    if (!plugins_name_.empty() && name.starts_with(kSettingPrefix)) {
      errors.push_back(fmt::format(
          "unknown parameter '{}': a plugin's setting is plugin.NAME.KEY, and NAME is one of '{}'",
          name, plugins_name_));
      continue;
    }
    const Declaration* nearest = nullptr;
    size_t nearest_distance = 3;
    bool known = false;
    for (const Declaration& declaration : declarations_) {
      known |= declaration.name == name;
      size_t distance = EditDistance(declaration.name, name);
      if (distance < nearest_distance) {
        nearest = &declaration;
        nearest_distance = distance;
      }
    }
    if (known) continue;
    errors.push_back(
        fmt::format("unknown parameter '{}'{}; --help lists this job's parameters", name,
                    nearest ? fmt::format(": did you mean '{}'?", nearest->name) : ""));
  }
  return errors;
}

std::string Sha256Hex(std::string_view bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  WEIR_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr) == 1);
  return std::string(
      absl::BytesToHexString({reinterpret_cast<const char*>(digest), static_cast<size_t>(size)}));
}

Parameters::ResourceLoader LocalResources() {
  return [](const std::string& path) -> StatusOr<Resource> {
    WEIR_ASSIGN_OR_RETURN(std::string bytes, ReadFile(RealEnvironment().disk, path));
    std::string sha256 = Sha256Hex(bytes);
    return Resource{path, path, std::move(bytes), std::move(sha256)};
  };
}

namespace {

std::string PluginResourceName(const std::string& plugin) { return "plugin " + plugin; }

}  // namespace

Parameters::ResourceLoader ResourcesThatTravelled(std::vector<Resource> resources, bool plugins) {
  return
      [resources = std::move(resources), plugins](const std::string& given) -> StatusOr<Resource> {
        const std::string name = plugins ? PluginResourceName(given) : given;
        const auto found =
            std::find_if(resources.begin(), resources.end(),
                         [&](const Resource& resource) { return resource.name == name; });
        if (found == resources.end()) {
          return absl::NotFoundError(fmt::format(
              "{} did not come with the job; a job's builder must read the same files from "
              "the same parameters",
              name));
        }
        return *found;
      };
}

Parameters::ResourceLoader PluginsIn(std::vector<std::string> folders) {
  return [folders = std::move(folders)](const std::string& name) -> StatusOr<Resource> {
    WEIR_CHECK(IsPluginName(name));  // so that it cannot lead out of the folders
    Disk& disk = RealEnvironment().disk;
    for (const std::string& folder : folders) {
      const std::string path = fmt::format("{}/{}", folder, PluginFileName(name));
      StatusOr<FileInfo> info = disk.Stat(path);
      if (absl::IsNotFound(info.status())) continue;
      if (!info.ok()) return Annotate(info.status(), fmt::format("plugin '{}'", name));
      if (info->size > limits::kPluginFileBytesMax) {
        return absl::FailedPreconditionError(
            fmt::format("plugin '{}': {} has {} bytes, at most {} are allowed", name, path,
                        info->size, limits::kPluginFileBytesMax));
      }
      StatusOr<std::string> bytes = ReadFile(disk, path);
      if (!bytes.ok()) return Annotate(bytes.status(), fmt::format("plugin '{}'", name));
      std::string sha256 = Sha256Hex(*bytes);
      return Resource{PluginResourceName(name), path, *std::move(bytes), std::move(sha256)};
    }
    return absl::NotFoundError(fmt::format(
        "plugin '{}' is missing: there is no {} in {}; build it there, or name its folder in "
        "WEIR_PLUGIN_PATH",
        name, PluginFileName(name), fmt::join(folders, ", ")));
  };
}

}  // namespace weir
