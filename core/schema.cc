#include "core/schema.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/hash.h"
#include "weir/core/schema.pb.h"

namespace weir {
namespace {

using Kind = Schema::Kind;

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kUint:
      return "uint";
    case Kind::kDouble:
      return "double";
    case Kind::kString:
      return "string";
    case Kind::kOptional:
      return "optional";
    case Kind::kList:
      return "list";
    case Kind::kMap:
      return "map";
    case Kind::kTuple:
      return "tuple";
    case Kind::kStruct:
      return "struct";
  }
  return "";
}

bool HasRightFieldCount(Kind kind, size_t n) {
  switch (kind) {
    case Kind::kOptional:
    case Kind::kList:
      return n == 1;
    case Kind::kMap:
      return n == 2;
    case Kind::kTuple:
    case Kind::kStruct:
      return true;
    default:
      return n == 0;
  }
}

void AppendText(const Schema& schema, std::string& out) {
  out += KindName(schema.kind);
  const bool is_struct = schema.kind == Kind::kStruct;
  if (is_struct && !schema.name.empty()) out.append(" ").append(schema.name);
  if (schema.fields.empty() && !is_struct && schema.kind != Kind::kTuple) return;
  out += is_struct ? '{' : '<';
  for (size_t i = 0; i < schema.fields.size(); ++i) {
    if (i > 0) out += ',';
    if (is_struct) out.append(schema.fields[i].name).append(":");
    AppendText(schema.fields[i].type, out);
  }
  out += is_struct ? '}' : '>';
}

void ToProto(const Schema& schema, pb::Schema& out) {
  out.set_kind(static_cast<uint32_t>(schema.kind));
  out.set_name(schema.name);
  for (const Schema::Field& field : schema.fields) {
    pb::SchemaField& to = *out.add_fields();
    to.set_name(field.name);
    ToProto(field.type, *to.mutable_type());
  }
}

// Recursion is bounded by protobuf's own limit on nested messages.
Status FromProto(const pb::Schema& from, Schema& out) {
  out.kind = static_cast<Kind>(from.kind());
  if (from.kind() > 255 || KindName(out.kind).empty()) {
    return absl::InvalidArgumentError(
        fmt::format("a schema has kind {}, which this version does not know", from.kind()));
  }
  if (!HasRightFieldCount(out.kind, from.fields_size())) {
    return absl::InvalidArgumentError(
        fmt::format("a schema of kind {} has {} fields", KindName(out.kind), from.fields_size()));
  }
  out.name = from.name();
  out.fields.resize(from.fields_size());
  for (int i = 0; i < from.fields_size(); ++i) {
    out.fields[i].name = from.fields(i).name();
    WEIR_RETURN_IF_ERROR(FromProto(from.fields(i).type(), out.fields[i].type));
  }
  return absl::OkStatus();
}

class Comparison {
 public:
  void Compare(const Schema& written, const Schema& wanted, const std::string& path) {
    if (wanted.kind == Kind::kOptional && written.kind != Kind::kOptional) {
      Add(FieldChange::Kind::kMadeOptional, path, "is optional now");
      return Compare(written, wanted.fields[0].type, path);
    }
    if (written.kind != wanted.kind) {
      return Add(FieldChange::Kind::kIncompatible, path,
                 fmt::format("was {}, is {}", KindName(written.kind), KindName(wanted.kind)));
    }
    switch (wanted.kind) {
      case Kind::kOptional:
        return Compare(written.fields[0].type, wanted.fields[0].type, path);
      case Kind::kList:
        return Compare(written.fields[0].type, wanted.fields[0].type, path + "[]");
      case Kind::kMap:
        CompareMapKeys(written.fields[0].type, wanted.fields[0].type, path + ".key");
        return Compare(written.fields[1].type, wanted.fields[1].type, path + ".value");
      case Kind::kTuple:
        return CompareTuples(written, wanted, path);
      case Kind::kStruct:
        return CompareStructs(written, wanted, path);
      default:
        return;
    }
  }

  std::vector<FieldChange> changes;

 private:
  void Add(FieldChange::Kind kind, std::string path, std::string text) {
    changes.push_back({kind, std::move(path), std::move(text)});
  }

  void CompareMapKeys(const Schema& written, const Schema& wanted, const std::string& path) {
    const size_t before = changes.size();
    Compare(written, wanted, path);
    for (size_t i = before; i < changes.size(); ++i) {
      if (changes[i].kind != FieldChange::Kind::kRemoved) continue;
      changes[i].kind = FieldChange::Kind::kIncompatible;
      changes[i].text = "is no more, and without it keys of the map could be the same";
    }
  }

  void CompareTuples(const Schema& written, const Schema& wanted, const std::string& path) {
    if (written.fields.size() != wanted.fields.size()) {
      return Add(FieldChange::Kind::kIncompatible, path,
                 fmt::format("was a tuple of {}, is a tuple of {}", written.fields.size(),
                             wanted.fields.size()));
    }
    for (size_t i = 0; i < wanted.fields.size(); ++i) {
      Compare(written.fields[i].type, wanted.fields[i].type, fmt::format("{}.{}", path, i));
    }
  }

  void CompareStructs(const Schema& written, const Schema& wanted, const std::string& path) {
    std::vector<bool> read(written.fields.size());
    for (const Schema::Field& field : wanted.fields) {
      const std::string below = fmt::format("{}.{}", path, field.name);
      const auto from = std::find_if(
          written.fields.begin(), written.fields.end(),
          [&](const auto& w) { return IsReadFrom(written, w.name, field.name, field.was); });
      if (from == written.fields.end()) {
        Add(FieldChange::Kind::kAdded, below, "is new, and gets its default");
        continue;
      }
      read[static_cast<size_t>(from - written.fields.begin())] = true;
      if (from->name != field.name) {
        Add(FieldChange::Kind::kRenamed, below, fmt::format("was '{}'", from->name));
      }
      Compare(from->type, field.type, below);
    }
    for (size_t i = 0; i < read.size(); ++i) {
      if (read[i]) continue;
      Add(FieldChange::Kind::kRemoved, fmt::format("{}.{}", path, written.fields[i].name),
          "is no more, and its values are dropped");
    }
  }
};

}  // namespace

std::string Schema::ToText() const {
  std::string text;
  AppendText(*this, text);
  return text;
}

uint64_t Schema::Fingerprint() const { return Hash64(ToText()); }

std::string Schema::Serialize() const {
  pb::Schema proto;
  ToProto(*this, proto);
  return proto.SerializeAsString();
}

StatusOr<Schema> Schema::Parse(std::string_view bytes) {
  pb::Schema proto;
  if (bytes.size() > INT32_MAX ||
      !proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError(fmt::format("{} bytes are not a schema", bytes.size()));
  }
  Schema schema;
  WEIR_RETURN_IF_ERROR(FromProto(proto, schema));
  return schema;
}

const Schema::Field* Schema::FindField(std::string_view field) const {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const Field& candidate) { return candidate.name == field; });
  return found == fields.end() ? nullptr : &*found;
}

std::string_view ToString(FieldChange::Kind kind) {
  switch (kind) {
    case FieldChange::Kind::kAdded:
      return "added";
    case FieldChange::Kind::kRemoved:
      return "removed";
    case FieldChange::Kind::kRenamed:
      return "renamed";
    case FieldChange::Kind::kMadeOptional:
      return "made optional";
    case FieldChange::Kind::kIncompatible:
      return "incompatible";
  }
  return "";
}

std::vector<FieldChange> CompareSchemas(const Schema& written, const Schema& wanted,
                                        std::string_view where) {
  Comparison comparison;
  comparison.Compare(written, wanted, std::string(where));
  return std::move(comparison.changes);
}

std::vector<std::string> IncompatibleFields(const Schema& written, const Schema& wanted,
                                            std::string_view where) {
  std::vector<std::string> reasons;
  for (const FieldChange& change : CompareSchemas(written, wanted, where)) {
    if (change.kind != FieldChange::Kind::kIncompatible) continue;
    reasons.push_back(fmt::format("{}: {}", change.path, change.text));
  }
  return reasons;
}

}  // namespace weir
