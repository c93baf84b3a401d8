#include "cli/shadow_folder.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <utility>
#include <vector>

namespace weir::cli::shadow_folder {
namespace {

constexpr const char* kRemoving = "removing-work";  // there while work/ is removed

}  // namespace

std::string DayOf(Timestamp time) { return FormatTimestamp(time).substr(0, 10); }

StatusOr<std::string> Prepare(Environment& env, ObjectStore& folder, const Contents& contents) {
  const std::pair<const char*, std::string_view> wanted[] = {
      {kBaseline, contents.baseline}, {kCandidate, contents.candidate},
      {kFrom, contents.from},         {kRules, contents.rules},
      {kWhere, contents.where},       {kPatience, contents.patience}};
  WEIR_ASSIGN_OR_RETURN(const bool ended, folder.Exists(kEnded));
  WEIR_ASSIGN_OR_RETURN(const bool removing, folder.Exists(kRemoving));
  WEIR_ASSIGN_OR_RETURN(const bool ours, folder.Exists(kBaseline));
  if (!ours && !removing) {
    // What a shadow writes first is not there.
    const StatusOr<std::vector<ObjectInfo>> there = folder.List(kWork);
    if (there.ok() && !there->empty()) {
      return absl::FailedPreconditionError(
          fmt::format("{} holds files of something else than a shadow; name another folder with "
                      "--report",
                      folder.Location(kWork)));
    }
  }
  bool other = ended || removing;
  for (const auto& [name, bytes] : wanted) {
    const StatusOr<std::string> there = folder.Get(name);
    other |= there.ok() && *there != bytes;
  }
  if (other) {
    // Whoever is killed in between would leave a part, and the next one would go on with it.
    WEIR_RETURN_IF_ERROR(folder.Put(kRemoving, ""));
    WEIR_RETURN_IF_ERROR(folder.DeletePrefix(kWork));
  }
  if (other || !ours) {
    // A verdict of an earlier run is none of this one, which may end without any.
    const std::string names[] = {kRemoving, "report.json", "report.html"};
    WEIR_RETURN_IF_ERROR(folder.Delete(names));
  }
  for (const auto& [name, bytes] : wanted) WEIR_RETURN_IF_ERROR(folder.Put(name, bytes));
  if (StatusOr<std::string> day = folder.Get(kDay); day.ok()) return day;
  std::string today = DayOf(env.clock.Now());
  WEIR_RETURN_IF_ERROR(folder.Put(kDay, today));
  return today;
}

CheckpointId BegunWith(ObjectStore& folder, const std::string& job) {
  const StatusOr<bool> ended = folder.Exists(kEnded);
  const StatusOr<std::string> from = folder.Get(kFrom);
  if (!from.ok() || ended.value_or(true)) return 0;
  const std::filesystem::path path(*from);
  const std::string name = path.filename();
  CheckpointId checkpoint = 0;
  if (path.parent_path().filename() != job || !name.starts_with("chk-")) return 0;
  std::from_chars(name.data() + 4, name.data() + name.size(), checkpoint);
  return checkpoint;
}

}  // namespace weir::cli::shadow_folder
