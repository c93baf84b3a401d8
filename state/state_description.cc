#include "state/state_description.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir {

std::string SubKeyName(std::string_view state) { return fmt::format("{}[key]", state); }

StatusOr<StateId> StateRecorder::Register(std::string name, Schema value,
                                          std::optional<Schema> sub_key, StateOptions) {
  const bool known = std::any_of(states_.begin(), states_.end(),
                                 [&](const KeyedStateSpec& state) { return state.name == name; });
  if (known) {
    return absl::InvalidArgumentError(fmt::format("state '{}' is registered twice", name));
  }
  states_.push_back({std::move(name), std::move(value), std::move(sub_key)});
  return static_cast<StateId>(states_.size()) - 1;
}

Status StateRecorder::Put(StateId, const StateKey&, std::string_view, std::string_view) {
  return absl::FailedPreconditionError("state is written in Process(), not in Open()");
}

std::vector<FieldChange> CompareKeyedState(std::span<const Schema> written,
                                           const std::optional<Schema>& written_sub_key,
                                           const KeyedStateSpec& wanted) {
  std::vector<FieldChange> changes;
  if (written.empty()) return changes;  // it holds nothing
  const auto is_known = [&](const FieldChange& change) {
    return std::any_of(changes.begin(), changes.end(), [&](const FieldChange& other) {
      return other.kind == change.kind && other.path == change.path && other.text == change.text;
    });
  };
  for (const Schema& schema : written) {
    for (FieldChange& change : CompareSchemas(schema, wanted.value, wanted.name)) {
      if (!is_known(change)) changes.push_back(std::move(change));
    }
  }
  const auto refuse = [&](std::string path, std::string text) {
    changes.push_back({FieldChange::Kind::kIncompatible, std::move(path), std::move(text)});
  };
  if (written_sub_key.has_value() != wanted.sub_key.has_value()) {
    refuse(wanted.name, written_sub_key ? "was a map, is a value" : "was a value, is a map");
  } else if (written_sub_key && written_sub_key->ToText() != wanted.sub_key->ToText()) {
    refuse(SubKeyName(wanted.name),
           fmt::format("keys of the map were {}, are {}", written_sub_key->ToText(),
                       wanted.sub_key->ToText()));
  }
  return changes;
}

}  // namespace weir
