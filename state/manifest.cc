#include "state/manifest.h"

#include <fmt/format.h>

#include <algorithm>

#include "state/checksummed_file.h"
#include "weir/state/manifest.pb.h"

namespace weir {
namespace {

void ToProto(const StateSnapshot& snapshot, state::Snapshot& out) {
  out.set_format(snapshot.format);
  out.set_inline_bytes(snapshot.inline_bytes);
  for (const StateFile& file : snapshot.files) {
    state::File& f = *out.add_files();
    f.set_name(file.name);
    f.set_content(file.content);
    f.set_bytes(file.bytes);
  }
  for (const StateSchema& schema : snapshot.schemas) {
    state::StateSchema& s = *out.add_schemas();
    s.set_state(schema.state);
    s.set_schema(schema.schema.Serialize());
  }
  for (const std::string& handle : snapshot.handles) out.add_handles(handle);
  for (const std::string& handle : snapshot.open_handles) out.add_open_handles(handle);
}

Status FromProto(const state::Snapshot& in, StateSnapshot& snapshot) {
  snapshot.format = in.format();
  snapshot.inline_bytes = in.inline_bytes();
  for (const state::File& f : in.files()) {
    snapshot.files.push_back({f.name(), f.content(), f.bytes()});
  }
  for (const state::StateSchema& s : in.schemas()) {
    WEIR_ASSIGN_OR_RETURN(Schema schema, Schema::Parse(s.schema()));
    snapshot.schemas.push_back({s.state(), std::move(schema)});
  }
  snapshot.handles.assign(in.handles().begin(), in.handles().end());
  snapshot.open_handles.assign(in.open_handles().begin(), in.open_handles().end());
  return absl::OkStatus();
}

void ToProto(const SubtaskState& subtask, state::Subtask& out) {
  ToProto(subtask.operator_state, *out.mutable_operator_state());
  ToProto(subtask.keyed_state, *out.mutable_keyed_state());
}

Status FromProto(const state::Subtask& in, SubtaskState& subtask) {
  WEIR_RETURN_IF_ERROR(FromProto(in.operator_state(), subtask.operator_state));
  return FromProto(in.keyed_state(), subtask.keyed_state);
}

void ToProto(const StageState& stage, state::Stage& out) {
  out.set_name(stage.name);
  out.set_parallelism(static_cast<uint32_t>(stage.parallelism));
  for (const SubtaskState& subtask : stage.subtasks) {
    ToProto(subtask, *out.add_subtasks());
  }
  stage.counters.Write(*out.mutable_counters());
  if (stage.key) out.set_key(stage.key->Serialize());
  out.set_place(stage.place);
}

Status FromProto(const state::Stage& in, StageState& stage) {
  stage.name = in.name();
  stage.parallelism = static_cast<int>(in.parallelism());
  if (stage.parallelism < 1 || stage.parallelism > kKeyGroups ||
      in.subtasks_size() != stage.parallelism) {
    return absl::DataLossError(fmt::format("stage '{}' has parallelism {} and {} subtasks",
                                           stage.name, in.parallelism(), in.subtasks_size()));
  }
  for (const state::Subtask& s : in.subtasks()) {
    WEIR_RETURN_IF_ERROR(FromProto(s, stage.subtasks.emplace_back()));
  }
  stage.counters = StageCounters::Read(in.counters());
  if (!in.key().empty()) {
    WEIR_ASSIGN_OR_RETURN(stage.key, Schema::Parse(in.key()));
  }
  stage.place = in.place();
  return absl::OkStatus();
}

bool HasOpenHandles(const Manifest& manifest) {
  for (const StageState& stage : manifest.stages) {
    for (const SubtaskState& subtask : stage.subtasks) {
      if (!subtask.operator_state.open_handles.empty()) return true;
    }
  }
  return false;
}

std::vector<RestoredSnapshot> SnapshotsFor(const StageState& stage, const KeyGroupRange& key_groups,
                                           StateSnapshot SubtaskState::*member) {
  std::vector<RestoredSnapshot> found;
  for (size_t i = 0; i < stage.subtasks.size(); ++i) {
    RestoredSnapshot restored;
    restored.subtask = static_cast<int>(i);
    restored.parallelism = stage.parallelism;
    if (!restored.key_groups().Overlaps(key_groups)) continue;
    restored.snapshot = stage.subtasks[i].*member;
    found.push_back(std::move(restored));
  }
  return found;
}

}  // namespace

std::string_view ToString(BarrierKind kind) {
  switch (kind) {
    case BarrierKind::kCheckpoint:
      return "checkpoint";
    case BarrierKind::kSavepoint:
      return "savepoint";
    case BarrierKind::kStop:
      return "stop";
    case BarrierKind::kFinal:
      return "final";
  }
  return "unknown";
}

std::string SubtaskState::Serialize() const {
  state::Subtask out;
  ToProto(*this, out);
  return out.SerializeAsString();
}

StatusOr<SubtaskState> SubtaskState::Parse(std::string_view bytes) {
  state::Subtask in;
  if (!in.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("the bytes are not the state of a subtask");
  }
  SubtaskState subtask;
  WEIR_RETURN_IF_ERROR(FromProto(in, subtask));
  return subtask;
}

void ResourceVersion::Write(state::Resources& out) const {
  out.set_version(version);
  for (const auto& [stage, bytes] : contents) {
    state::Entry& entry = *out.add_contents();
    entry.set_key(stage);
    entry.set_value(bytes);
  }
}

ResourceVersion ResourceVersion::Read(const state::Resources& in) {
  ResourceVersion resources;
  resources.version = in.version();
  for (const state::Entry& entry : in.contents()) resources.contents[entry.key()] = entry.value();
  return resources;
}

const StageState* Manifest::FindStage(std::string_view name) const {
  auto at = std::find_if(stages.begin(), stages.end(),
                         [&](const StageState& stage) { return stage.name == name; });
  return at == stages.end() ? nullptr : &*at;
}

std::vector<StateFile> Manifest::Files() const {
  std::vector<StateFile> files;
  std::set<std::string_view> seen;
  for (const StageState& stage : stages) {
    for (const SubtaskState& subtask : stage.subtasks) {
      for (const StateSnapshot* snapshot : {&subtask.operator_state, &subtask.keyed_state}) {
        for (const StateFile& file : snapshot->files) {
          if (seen.insert(file.content).second) files.push_back(file);
        }
      }
    }
  }
  return files;
}

std::set<std::string> Manifest::Contents() const {
  std::set<std::string> contents;
  for (StateFile& file : Files()) contents.insert(std::move(file.content));
  return contents;
}

std::string Manifest::Serialize() const {
  state::Manifest out;
  out.set_version(HasOpenHandles(*this) ? kVersion : 1);
  out.set_job_id(job_id);
  out.set_job_name(job_name);
  out.set_checkpoint(checkpoint);
  out.set_kind(static_cast<uint32_t>(kind));
  out.set_attempt(attempt);
  out.set_created(created);
  out.set_graph_fingerprint(graph_fingerprint);
  for (const StageState& stage : stages) ToProto(stage, *out.add_stages());
  if (!resources.contents.empty()) resources.Write(*out.mutable_resources());
  return WrapWithChecksum(out.SerializeAsString());
}

StatusOr<Manifest> Manifest::Parse(std::string_view bytes, std::string_view where) {
  WEIR_ASSIGN_OR_RETURN(std::string content, UnwrapChecked(bytes, where));
  state::Manifest in;
  if (!in.ParseFromString(content)) {
    return absl::DataLossError(fmt::format("{} is not a manifest", where));
  }
  if (in.version() < 1 || in.version() > kVersion) {
    return absl::FailedPreconditionError(
        fmt::format("{} is a manifest of format {}, this version of weir reads 1 to {}", where,
                    in.version(), kVersion));
  }
  Manifest manifest;
  manifest.job_id = in.job_id();
  manifest.job_name = in.job_name();
  manifest.checkpoint = in.checkpoint();
  if (in.kind() < 1 || in.kind() > 4) {
    return absl::DataLossError(fmt::format("{}: no kind of checkpoint is {}", where, in.kind()));
  }
  manifest.kind = static_cast<BarrierKind>(in.kind());
  manifest.attempt = in.attempt();
  manifest.created = in.created();
  manifest.graph_fingerprint = in.graph_fingerprint();
  for (const state::Stage& stage : in.stages()) {
    WEIR_RETURN_IF_ERROR(Annotate(FromProto(stage, manifest.stages.emplace_back()), where));
  }
  manifest.resources = ResourceVersion::Read(in.resources());
  return manifest;
}

std::vector<RestoredSnapshot> OperatorSnapshotsFor(const StageState& stage,
                                                   const KeyGroupRange& key_groups) {
  return SnapshotsFor(stage, key_groups, &SubtaskState::operator_state);
}

std::vector<RestoredSnapshot> KeyedSnapshotsFor(const StageState& stage,
                                                const KeyGroupRange& key_groups) {
  return SnapshotsFor(stage, key_groups, &SubtaskState::keyed_state);
}

}  // namespace weir
