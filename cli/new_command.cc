#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "cli/commands.h"
#include "core/environment.h"
#include "core/json.h"

namespace weir::cli {
namespace {

namespace fs = std::filesystem;

// Stands for the project's name in the templates' texts and file names.
constexpr std::string_view kPlaceholder = "@NAME@";
// Ends the name of a template's file whose text has placeholders.
constexpr std::string_view kWithPlaceholders = ".in";

// It becomes a job's or plugin's name, a part of file names, and a target of CMake.
Status CheckName(const std::string& name) {
  const auto is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const bool sound = !name.empty() && name.size() <= limits::kPluginNameBytesMax &&
                     is_lower(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
                       return is_lower(c) || (c >= '0' && c <= '9') || c == '_';
                     });
  if (sound) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "NAME '{}': a name is a lower-case letter, then lower-case letters, digits and _, "
      "{} of them at most",
      name, limits::kPluginNameBytesMax));
}

std::string Filled(std::string text, const std::string& name) {
  for (size_t at = 0; (at = text.find(kPlaceholder, at)) != std::string::npos; at += name.size()) {
    text.replace(at, kPlaceholder.size(), name);
  }
  return text;
}

// Copies a template's tree into `target`, which does not exist.
Status Instantiate(const fs::path& source, const fs::path& target, const std::string& name) {
  Disk& disk = RealEnvironment().disk;
  WEIR_RETURN_IF_ERROR(disk.MakeDirectories(target));
  std::error_code error;
  fs::recursive_directory_iterator entries(source, error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    std::string relative = Filled(fs::relative(entries->path(), source), name);
    if (entries->is_directory()) {
      WEIR_RETURN_IF_ERROR(disk.MakeDirectories(target / relative));
      continue;
    }
    WEIR_ASSIGN_OR_RETURN(std::string text, ReadFile(disk, entries->path()));
    if (relative.ends_with(kWithPlaceholders)) {
      relative.resize(relative.size() - kWithPlaceholders.size());
      text = Filled(std::move(text), name);
    }
    WEIR_RETURN_IF_ERROR(WriteAtomically(disk, target / relative, text));
  }
  return error ? absl::UnavailableError(
                     fmt::format("cannot read {}: {}", source.string(), error.message()))
               : absl::OkStatus();
}

}  // namespace

int New(const NewFlags& flags) {
  if (Status sound = CheckName(flags.name); !sound.ok()) return PrintError(sound), kUsage;
  std::error_code error;
  const fs::path target = fs::absolute(flags.name, error);
  if (fs::exists(fs::symlink_status(target, error))) {
    PrintError(
        absl::AlreadyExistsError(fmt::format("{} exists already, and nothing in it is changed; "
                                             "choose another name, or another folder to "
                                             "call `weir new` in",
                                             target.string())));
    return kConfiguration;
  }
  const fs::path source = fs::path(InstallationRoot()) / "share/weir/templates" / flags.kind;
  if (!fs::is_directory(source, error)) {
    PrintError(absl::NotFoundError(
        fmt::format("the templates are not installed: there is no {} (the package weir-dev has it)",
                    source.string())));
    return kUnreachable;
  }
  if (Status made = Instantiate(source, target, flags.name); !made.ok()) {
    fs::remove_all(target, error);  // half a project would only be in the way of the next try
    return PrintError(Annotate(made, "cannot make the project")), kConfiguration;
  }
  if (flags.output == "json") {
    JsonWriter json;
    json.StartObject();
    json.Key("kind");
    json.String(flags.kind);
    json.Key("folder");
    json.String(target.string());
    json.EndObject();
    std::cout << json.text() << "\n";
  } else {
    std::cout << fmt::format(
        "{}: a {} of your own; its README.md says how to build, test and run it\n", target.string(),
        flags.kind);
  }
  return FinishOutput(kDone);
}

}  // namespace weir::cli
