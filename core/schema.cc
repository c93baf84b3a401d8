#include "core/schema.h"

#include <fmt/format.h>

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

const Schema::Field* FindField(const Schema& schema, std::string_view name) {
  for (const Schema::Field& field : schema.fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

void Compare(const Schema& written, const Schema& wanted, const std::string& path,
             std::vector<std::string>& reasons) {
  if (written.kind != wanted.kind) {
    reasons.push_back(
        fmt::format("{}: was {}, is {}", path, KindName(written.kind), KindName(wanted.kind)));
    return;
  }
  switch (wanted.kind) {
    case Kind::kOptional:
      Compare(written.fields[0].type, wanted.fields[0].type, path, reasons);
      return;
    case Kind::kList:
      Compare(written.fields[0].type, wanted.fields[0].type, path + "[]", reasons);
      return;
    case Kind::kMap:
      Compare(written.fields[0].type, wanted.fields[0].type, path + ".key", reasons);
      Compare(written.fields[1].type, wanted.fields[1].type, path + ".value", reasons);
      return;
    case Kind::kTuple:
      if (written.fields.size() != wanted.fields.size()) {
        reasons.push_back(fmt::format("{}: was a tuple of {}, is a tuple of {}", path,
                                      written.fields.size(), wanted.fields.size()));
        return;
      }
      for (size_t i = 0; i < wanted.fields.size(); ++i) {
        Compare(written.fields[i].type, wanted.fields[i].type, fmt::format("{}.{}", path, i),
                reasons);
      }
      return;
    case Kind::kStruct:
      for (const Schema::Field& field : wanted.fields) {
        const Schema::Field* before = FindField(written, field.name);
        if (before != nullptr) {
          Compare(before->type, field.type, fmt::format("{}.{}", path, field.name), reasons);
        }
      }
      return;
    default:
      return;
  }
}

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

std::vector<std::string> IncompatibleFields(const Schema& written, const Schema& wanted,
                                            std::string_view where) {
  std::vector<std::string> reasons;
  Compare(written, wanted, std::string(where), reasons);
  return reasons;
}

}  // namespace weir
