#include "jobs/graph.h"

#include <algorithm>

#include "core/hash.h"
#include "weir/jobs/graph.pb.h"

namespace weir {

int JobGraph::FindStage(std::string_view name) const {
  for (size_t i = 0; i < stages.size(); ++i) {
    if (stages[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

std::vector<std::string> JobGraph::Parts() const {
  std::vector<std::string> parts;
  for (const StageSpec& stage : stages) {
    if (std::find(parts.begin(), parts.end(), stage.part) == parts.end()) {
      parts.push_back(stage.part);
    }
  }
  if (parts.empty()) parts.emplace_back();
  return parts;
}

uint64_t JobGraph::Fingerprint() const { return Hash64(Serialize()); }

std::string JobGraph::Serialize() const {
  jobs::Graph graph;
  graph.set_job(job);
  for (const StageSpec& stage : stages) {
    jobs::Stage& to = *graph.add_stages();
    to.set_name(stage.name);
    to.set_kind(stage.kind);
    to.set_role(static_cast<uint32_t>(stage.role));
    to.set_keyed_state(stage.keyed_state);
    to.set_id_state(stage.id_state);
    to.set_on_failure(static_cast<uint32_t>(stage.on_failure));
    to.set_options(stage.options);
    to.set_exactly_once(stage.exactly_once);
    to.set_can_revoke(stage.can_revoke);
    to.set_component(stage.component);
    for (const std::string& output : stage.outputs) to.add_outputs(output);
    to.set_place(stage.place);
    if (stage.key) to.set_key(stage.key->Serialize());
    to.set_part(stage.part);
    to.set_outside(stage.outside);
    to.set_alias(stage.alias);
  }
  for (const EdgeSpec& edge : edges) {
    jobs::Edge& to = *graph.add_edges();
    to.set_from(edge.from);
    to.set_port(edge.port);
    to.set_to(edge.to);
    to.set_input_port(edge.input_port);
    to.set_partitioning(static_cast<uint32_t>(edge.partitioning));
    to.set_schema(edge.schema.Serialize());
  }
  // Without maps and unknown fields, protobuf's encoding is a function of the values alone.
  return graph.SerializeAsString();
}

StatusOr<JobGraph> JobGraph::Parse(std::string_view bytes) {
  jobs::Graph graph;
  if (!graph.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("the bytes are not a job graph");
  }
  JobGraph result;
  result.job = graph.job();
  const std::string* part_of_sinks = nullptr;
  for (const jobs::Stage& from : graph.stages()) {
    if (from.role() > static_cast<uint32_t>(StageRole::kSink) ||
        from.on_failure() > static_cast<uint32_t>(FailurePolicy::kFail)) {
      return absl::InvalidArgumentError("stage '" + from.name() + "' is of an unknown kind");
    }
    StageSpec& stage = result.stages.emplace_back();
    stage.name = from.name();
    stage.kind = from.kind();
    stage.component = from.component();
    stage.role = static_cast<StageRole>(from.role());
    stage.keyed_state = from.keyed_state();
    stage.id_state = from.id_state();
    stage.on_failure = static_cast<FailurePolicy>(from.on_failure());
    stage.options = from.options();
    stage.exactly_once = from.exactly_once();
    stage.can_revoke = from.can_revoke();
    stage.place = from.place();
    stage.part = from.part();
    stage.outside = from.outside();
    stage.alias = from.alias();
    if (stage.role == StageRole::kSink) {
      if (part_of_sinks == nullptr) part_of_sinks = &from.part();
      if (*part_of_sinks != from.part()) {
        return absl::InvalidArgumentError("sink '" + from.name() + "' is in part '" + from.part() +
                                          "', and others are in '" + *part_of_sinks + "'");
      }
    }
    if (!from.key().empty()) {
      WEIR_ASSIGN_OR_RETURN(stage.key, Schema::Parse(from.key()));
    }
    stage.outputs.assign(from.outputs().begin(), from.outputs().end());
  }
  const size_t stages = result.stages.size();
  for (const jobs::Edge& from : graph.edges()) {
    if (from.to() >= stages || from.from() >= from.to() ||
        from.partitioning() > static_cast<uint32_t>(Partitioning::kKeyed)) {
      return absl::InvalidArgumentError("the job graph has an edge that leads nowhere");
    }
    WEIR_ASSIGN_OR_RETURN(Schema schema, Schema::Parse(from.schema()));
    result.edges.push_back({static_cast<int>(from.from()), from.port(), static_cast<int>(from.to()),
                            static_cast<int>(from.input_port()),
                            static_cast<Partitioning>(from.partitioning()), std::move(schema)});
  }
  return result;
}

std::string_view ToString(FailurePolicy policy) {
  switch (policy) {
    case FailurePolicy::kDeadLetter:
      return "dead-letter";
    case FailurePolicy::kDrop:
      return "drop";
    case FailurePolicy::kFail:
      return "fail";
  }
  return "unknown";
}

std::string_view ToString(Partitioning partitioning) {
  return partitioning == Partitioning::kKeyed ? "keyed" : "forward";
}

}  // namespace weir
