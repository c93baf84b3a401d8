#include "operators/transforms/plugin_states.h"

#include <fmt/format.h>

#include <cstring>

#include "core/codec.h"
#include "state/keyed_state.h"

namespace weir {
namespace {

using Type = PluginDeclaration::ValueType;

Schema SchemaOf(Type type) {
  switch (type) {
    case Type::kBytes:
      break;
    case Type::kInteger:
      return Codec<int64_t>::Describe();
    case Type::kNumber:
      return Codec<double>::Describe();
  }
  return Codec<std::string>::Describe();
}

template <class T>
bool ReadFixed(ByteReader& in, std::array<char, 8>& to) {
  static_assert(sizeof(T) == sizeof(to));
  T value{};
  if (!Codec<T>::Decode(in, value)) return false;
  std::memcpy(to.data(), &value, sizeof(value));
  return true;
}

template <class T>
void WriteFixed(WeirPluginBytes bytes, std::string& to) {
  T value{};
  std::memcpy(&value, bytes.data, sizeof(value));
  Codec<T>::Encode(value, to);
}

}  // namespace

StatusOr<StateDescription> PluginStates::Describe(const PluginDeclaration& declaration) {
  return DescribeKeyedState(
      [&declaration](KeyedStore& store) { return Open(declaration, store).status(); });
}

StatusOr<std::unique_ptr<PluginStates>> PluginStates::Open(const PluginDeclaration& declaration,
                                                           KeyedStore& store) {
  std::unique_ptr<PluginStates> states(new PluginStates(declaration, store));
  for (const PluginDeclaration::State& state : declaration.states) {
    WEIR_ASSIGN_OR_RETURN(const StateId id,
                          states->transaction_.Register(state.name, SchemaOf(state.type),
                                                        std::nullopt, {.ttl = state.ttl}));
    states->ids_.push_back(id);
  }
  return states;
}

void PluginStates::SetBatch(const Batch<Event>& batch) {
  keys_.clear();
  keys_.reserve(batch.rows());
  for (const Event& event : batch.values()) {
    keys_.push_back(MakeStateKey(declaration_.KeyOf(event)));
  }
}

Status PluginStates::CheckIndex(uint32_t state) const {
  if (state < ids_.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("used state {}, and has declared {}", state, ids_.size()));
}

StatusOr<std::optional<std::string_view>> PluginStates::Get(size_t row, uint32_t state) {
  WEIR_RETURN_IF_ERROR(CheckIndex(state));
  WEIR_ASSIGN_OR_RETURN(const std::optional<std::string_view> stored,
                        transaction_.Get(ids_[state], keys_[row], {}));
  if (!stored) return stored;
  ByteReader in(*stored);
  std::string_view value(fixed_.data(), fixed_.size());
  bool sound = false;
  switch (declaration_.states[state].type) {
    case Type::kBytes:
      sound = in.Bytes(value);
      break;
    case Type::kInteger:
      sound = ReadFixed<int64_t>(in, fixed_);
      break;
    case Type::kNumber:
      sound = ReadFixed<double>(in, fixed_);
      break;
  }
  if (!sound || !in.done()) {
    return UndecodableState(declaration_.states[state].name, "a value is broken");
  }
  return std::optional(value);
}

Status PluginStates::Put(size_t row, uint32_t state, WeirPluginBytes value) {
  WEIR_RETURN_IF_ERROR(CheckIndex(state));
  const PluginDeclaration::State& declared = declaration_.states[state];
  if (value.data == nullptr && value.size > 0) {
    return absl::InvalidArgumentError(
        fmt::format("wrote a value at a null pointer into state '{}'", declared.name));
  }
  const bool fixed = declared.type != Type::kBytes;
  if (fixed && value.size != fixed_.size()) {
    return absl::InvalidArgumentError(
        fmt::format("wrote {} bytes into state '{}', whose values "
                    "have {}",
                    value.size, declared.name, fixed_.size()));
  }
  if (value.size > limits::kPluginStateValueBytesMax) {
    return absl::InvalidArgumentError(
        fmt::format("wrote {} bytes into state '{}', at most {} are allowed", value.size,
                    declared.name, limits::kPluginStateValueBytesMax));
  }
  // Into bytes of our own first: the value may be a part of the one that was read last.
  encoded_.clear();
  switch (declared.type) {
    case Type::kBytes:
      PutBytes({value.data, value.size}, encoded_);
      break;
    case Type::kInteger:
      WriteFixed<int64_t>(value, encoded_);
      break;
    case Type::kNumber:
      WriteFixed<double>(value, encoded_);
      break;
  }
  return transaction_.Put(ids_[state], keys_[row], {}, encoded_);
}

Status PluginStates::Remove(size_t row, uint32_t state) {
  WEIR_RETURN_IF_ERROR(CheckIndex(state));
  return transaction_.Delete(ids_[state], keys_[row], {});
}

}  // namespace weir
