#include "core/json.h"

#include <absl/strings/charconv.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "core/check.h"
#include "core/json_lenient.h"
#include "core/limits.h"

namespace weir {
namespace {

namespace dom = simdjson::dom;
using internal::LenientJson;
using internal::LenientNode;
using Kind = JsonValue::Kind;

static_assert(limits::kSlabPaddingBytes >= simdjson::SIMDJSON_PADDING);

// A JsonValue keeps the two words of simdjson's element: its document and the position on the tape.
struct ElementWords {
  const void* document;
  uint64_t position;
};
static_assert(sizeof(dom::element) == sizeof(ElementWords));
static_assert(std::is_trivially_copyable_v<dom::element>);

// Larger texts get a parser of their own, which goes with them: a parser keeps some 14 bytes for
// each byte of the longest text it has read.
constexpr size_t kLargeTextBytes = 1 << 20;

Kind KindOf(dom::element_type type) {
  switch (type) {
    case dom::element_type::ARRAY:
      return Kind::kArray;
    case dom::element_type::OBJECT:
      return Kind::kObject;
    case dom::element_type::INT64:
    case dom::element_type::UINT64:
    case dom::element_type::DOUBLE:
      return Kind::kNumber;
    case dom::element_type::STRING:
      return Kind::kString;
    case dom::element_type::BOOL:
      return Kind::kBool;
    case dom::element_type::NULL_VALUE:
      return Kind::kNull;
  }
  return Kind::kNull;
}

template <class T>
std::optional<T> ToOptional(simdjson::simdjson_result<T> result) {
  T value;
  if (std::move(result).get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

template <class Integer>
std::optional<Integer> IntegerFrom(std::string_view text) {
  if (text == "-0") return 0;
  Integer value;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

struct JsonParser::Impl {
  dom::parser small;
  std::unique_ptr<dom::parser> large;
  std::string_view text;  // of the current document
  std::string copy;       // ParseUnpadded's
  LenientJson lenient;
  bool lenient_parsed = false;
  // Texts of integers, in blocks that stay where they are.
  static constexpr size_t kBlockBytes = 4096;
  std::vector<std::unique_ptr<char[]>> blocks;
  size_t blocks_used = 0;
  size_t block_offset = kBlockBytes;

  StatusOr<dom::parser*> ParserFor(size_t bytes) {
    dom::parser* parser = &small;
    size_t capacity = std::bit_ceil(std::max<size_t>(bytes, 16 << 10));
    if (bytes > kLargeTextBytes) {
      large = std::make_unique<dom::parser>();
      parser = large.get();
      capacity = bytes;
    } else if (large != nullptr) {
      large.reset();
    }
    if (parser->capacity() < bytes || parser->capacity() == 0) {
      if (auto error = parser->allocate(capacity, limits::kJsonDepthMax)) {
        return absl::ResourceExhaustedError(fmt::format("no memory to parse {} bytes of JSON: {}",
                                                        bytes, simdjson::error_message(error)));
      }
    }
    return parser;
  }

  Status ParseLenient() {
    lenient_parsed = true;
    return lenient.Parse(text);
  }

  template <class Integer>
  std::string_view Format(Integer number) {
    constexpr size_t kIntegerBytesMax = 24;
    if (block_offset + kIntegerBytesMax > kBlockBytes) {
      if (blocks_used == blocks.size()) blocks.push_back(std::make_unique<char[]>(kBlockBytes));
      ++blocks_used;
      block_offset = 0;
    }
    char* const begin = blocks[blocks_used - 1].get() + block_offset;
    char* const end = std::to_chars(begin, begin + kIntegerBytesMax, number).ptr;
    block_offset += static_cast<size_t>(end - begin);
    return {begin, static_cast<size_t>(end - begin)};
  }

  void Forget() {
    constexpr size_t kBlocksKept = 4;
    if (blocks.size() > kBlocksKept) blocks.resize(kBlocksKept);
    blocks_used = 0;
    block_offset = kBlockBytes;
    if (lenient_parsed) {
      // Keep nothing of a text that may have been large.
      lenient = LenientJson();
      lenient_parsed = false;
    }
  }
};

struct JsonAccess {
  static bool IsLenient(const JsonValue& value) { return value.document_ == nullptr; }
  static dom::element Element(const JsonValue& value) {
    return std::bit_cast<dom::element>(ElementWords{value.document_, value.node_});
  }
  static const std::vector<LenientNode>& Nodes(const JsonValue& value) {
    return value.parser_->impl_->lenient.nodes();
  }
  static const LenientNode& Node(const JsonValue& value) { return Nodes(value)[value.node_]; }
  static JsonValue Make(JsonParser* parser, dom::element element) {
    const auto words = std::bit_cast<ElementWords>(element);
    JsonValue value;
    value.parser_ = parser;
    value.document_ = words.document;
    value.node_ = words.position;
    return value;
  }
  static JsonValue Make(JsonParser* parser, uint64_t lenient_node) {
    JsonValue value;
    value.parser_ = parser;
    value.node_ = lenient_node;
    return value;
  }

  // Calls fn(key, make), where make() is the value, until it returns false.
  template <class Fn>
  static void Members(const JsonValue& value, Fn fn) {
    if (IsLenient(value)) {
      if (Node(value).kind == Kind::kObject) {
        LenientChildren(value, [&](const LenientNode& child, uint64_t index) {
          return fn(child.key, [&] { return Make(value.parser_, index); });
        });
      }
      return;
    }
    dom::object object;
    if (Element(value).get(object) != simdjson::SUCCESS) return;
    const auto end = object.end();
    for (auto it = object.begin(); it != end; ++it) {
      if (!fn(it.key(), [&] { return Make(value.parser_, it.value()); })) return;
    }
  }

  template <class Fn>
  static void LenientChildren(const JsonValue& value, Fn fn) {
    const auto& nodes = Nodes(value);
    const uint64_t end = nodes[value.node_].end;
    for (uint64_t i = value.node_ + 1; i < end; i = nodes[i].end) {
      if (!fn(nodes[i], i)) return;
    }
  }

  // Another value of the same document.
  static JsonValue Sibling(const JsonValue& value, uint64_t position) {
    JsonValue other = value;
    other.node_ = position;
    return other;
  }

  // Calls fn(key, length, position of the value) for each member until it returns false. This goes
  // over simdjson's tape as its documentation describes it (doc/tape.md), which takes half the time
  // of its iterators.
  template <class Fn>
  static void TapeMembers(const JsonValue& value, Fn fn) {
    const auto* document = static_cast<const dom::document*>(value.document_);
    const uint64_t* const tape = document->tape.get();
    const auto* const strings = reinterpret_cast<const char*>(document->string_buf.get());
    constexpr uint64_t kPayload = (uint64_t{1} << 56) - 1;
    const uint64_t end = static_cast<uint32_t>(tape[value.node_]) - 1;
    for (uint64_t at = value.node_ + 1; at < end;) {
      const char* const string = strings + (tape[at] & kPayload);
      uint32_t length;
      std::memcpy(&length, string, sizeof(length));
      if (!fn(string + sizeof(length), length, at + 1)) return;
      const uint64_t word = tape[at + 1];
      switch (static_cast<char>(word >> 56)) {
        case '{':
        case '[':
          at = static_cast<uint32_t>(word);
          break;
        case 'l':
        case 'u':
        case 'd':
          at += 3;
          break;
        default:
          at += 2;
      }
    }
  }

  // The literal as it is written in the text.
  static std::string_view NumberAsWritten(const JsonValue& value) {
    if (IsLenient(value)) return Node(value).text;
    JsonParser::Impl& impl = *value.parser_->impl_;
    if (!impl.lenient_parsed) {
      const Status status = impl.ParseLenient();
      WEIR_CHECK(status.ok());  // simdjson has accepted it
    }
    const LenientNode* node = impl.lenient.FindByTape(value.node_);
    WEIR_CHECK(node != nullptr && node->kind == Kind::kNumber);
    return node->text;
  }
};

JsonPaths::JsonPaths(std::vector<std::string> paths) {
  auto make_key = [this](std::string text) {
    lengths_ |= uint64_t{1} << std::min<size_t>(text.size(), 63);
    const uint64_t prefix = Prefix(text);
    return Key{std::move(text), prefix};
  };
  for (std::string& whole : paths) {
    Path path;
    const size_t dot = whole.find('.');
    if (dot != whole.npos) {
      path.head = make_key(whole.substr(0, dot));
      path.tail = whole.substr(dot + 1);
    }
    path.whole = make_key(std::move(whole));
    paths_.push_back(std::move(path));
  }
}

uint64_t JsonPaths::Prefix(std::string_view key) {
  uint64_t prefix = 0;
  std::memcpy(&prefix, key.data(), std::min(key.size(), sizeof(prefix)));
  return prefix;
}

JsonValue::Kind JsonValue::kind() const {
  if (JsonAccess::IsLenient(*this)) return JsonAccess::Node(*this).kind;
  return KindOf(JsonAccess::Element(*this).type());
}

std::optional<JsonValue> JsonValue::Find(std::string_view name) const {
  std::optional<JsonValue> found;
  JsonAccess::Members(*this, [&](std::string_view key, auto value) {
    if (key == name) found = value();
    return !found.has_value();
  });
  return found;
}

std::optional<JsonValue> JsonValue::FindPath(std::string_view dotted) const {
  auto found = Find(dotted);
  if (found) return found;
  const size_t dot = dotted.find('.');
  if (dot == dotted.npos) return std::nullopt;
  auto head = Find(dotted.substr(0, dot));
  if (!head) return std::nullopt;
  return head->FindPath(dotted.substr(dot + 1));
}

void JsonValue::FindAll(const JsonPaths& paths, std::span<std::optional<JsonValue>> found) const {
  WEIR_CHECK(found.size() == paths.size());
  for (auto& one : found) one.reset();
  if (kind() != Kind::kObject) return;
  size_t missing = paths.size();
  bool heads = false;
  auto take = [&](std::string_view key, uint64_t prefix, auto make) {
    for (size_t i = 0; i < found.size(); ++i) {
      const JsonPaths::Path& path = paths.paths_[i];
      if (path.whole.Is(key, prefix)) {
        if (found[i]) continue;
        found[i] = make();
        --missing;
      } else if (!path.tail.empty() && path.head.Is(key, prefix)) {
        heads = true;
      }
    }
    return missing > 0;
  };
  const uint64_t lengths = paths.lengths_;
  auto may_count = [lengths](size_t length) { return lengths >> std::min<size_t>(length, 63) & 1; };
  if (JsonAccess::IsLenient(*this)) {
    JsonAccess::Members(*this, [&](std::string_view key, auto make) {
      return !may_count(key.size()) || take(key, JsonPaths::Prefix(key), make);
    });
  } else {
    JsonAccess::TapeMembers(*this, [&](const char* key, size_t length, uint64_t value) {
      if (!may_count(length)) return true;
      uint64_t prefix;  // simdjson's strings have padding behind them
      std::memcpy(&prefix, key, sizeof(prefix));
      if (length < 8) prefix &= (uint64_t{1} << length * 8) - 1;
      return take({key, length}, prefix, [&] { return JsonAccess::Sibling(*this, value); });
    });
  }
  if (!heads || missing == 0) return;
  for (size_t i = 0; i < found.size(); ++i) {
    const JsonPaths::Path& path = paths.paths_[i];
    if (found[i] || path.tail.empty()) continue;
    if (auto head = Find(path.head.text)) found[i] = head->FindPath(path.tail);
  }
}

std::optional<std::string_view> JsonValue::GetString() const {
  if (JsonAccess::IsLenient(*this)) {
    const LenientNode& node = JsonAccess::Node(*this);
    if (node.kind != Kind::kString) return std::nullopt;
    return node.text;
  }
  return ToOptional(JsonAccess::Element(*this).get_string());
}

std::optional<bool> JsonValue::GetBool() const {
  if (JsonAccess::IsLenient(*this)) {
    const LenientNode& node = JsonAccess::Node(*this);
    if (node.kind != Kind::kBool) return std::nullopt;
    return node.text == "true";
  }
  return ToOptional(JsonAccess::Element(*this).get_bool());
}

std::optional<int64_t> JsonValue::GetInt() const {
  if (JsonAccess::IsLenient(*this)) {
    const LenientNode& node = JsonAccess::Node(*this);
    return node.kind == Kind::kNumber ? IntegerFrom<int64_t>(node.text) : std::nullopt;
  }
  return ToOptional(JsonAccess::Element(*this).get_int64());
}

std::optional<uint64_t> JsonValue::GetUint() const {
  if (JsonAccess::IsLenient(*this)) {
    const LenientNode& node = JsonAccess::Node(*this);
    return node.kind == Kind::kNumber ? IntegerFrom<uint64_t>(node.text) : std::nullopt;
  }
  return ToOptional(JsonAccess::Element(*this).get_uint64());
}

std::optional<double> JsonValue::GetDouble() const {
  if (JsonAccess::IsLenient(*this)) {
    const LenientNode& node = JsonAccess::Node(*this);
    if (node.kind != Kind::kNumber) return std::nullopt;
    double value = 0;
    const auto result =
        absl::from_chars(node.text.data(), node.text.data() + node.text.size(), value);
    // Out of range is also what is too small, and then the value is as near as can be.
    if (result.ec != std::errc() && std::fabs(value) > 1) return std::nullopt;
    return value;
  }
  return ToOptional(JsonAccess::Element(*this).get_double());
}

std::optional<std::string_view> JsonValue::GetText() const {
  if (!JsonAccess::IsLenient(*this)) {
    const dom::element element = JsonAccess::Element(*this);
    switch (element.type()) {
      case dom::element_type::STRING:
        return element.get_string().value_unsafe();
      case dom::element_type::INT64:
        return parser_->impl_->Format(element.get_int64().value_unsafe());
      case dom::element_type::UINT64:
        return parser_->impl_->Format(element.get_uint64().value_unsafe());
      case dom::element_type::DOUBLE:
        return JsonAccess::NumberAsWritten(*this);
      default:
        return std::nullopt;
    }
  }
  const LenientNode& node = JsonAccess::Node(*this);
  if (node.kind == Kind::kNumber) return node.text == "-0" ? std::string_view("0") : node.text;
  if (node.kind == Kind::kString) return node.text;
  return std::nullopt;
}

size_t JsonValue::size() const {
  if (JsonAccess::IsLenient(*this)) return JsonAccess::Node(*this).children;
  // simdjson counts up to this and then no further.
  constexpr size_t kCountMax = 0xFFFFFF;
  size_t count = 0;
  dom::object object;
  dom::array array;
  const dom::element element = JsonAccess::Element(*this);
  if (element.get(object) == simdjson::SUCCESS) {
    count = object.size();
    if (count == kCountMax) count = std::distance(object.begin(), object.end());
  } else if (element.get(array) == simdjson::SUCCESS) {
    count = array.size();
    if (count == kCountMax) count = std::distance(array.begin(), array.end());
  }
  return count;
}

JsonValue JsonValue::At(size_t index) const {
  WEIR_CHECK(kind() == Kind::kArray && index < size());
  JsonValue found;
  if (JsonAccess::IsLenient(*this)) {
    JsonAccess::LenientChildren(*this, [&](const LenientNode&, uint64_t node) {
      found = JsonAccess::Make(parser_, node);
      return index-- > 0;
    });
  } else {
    found = JsonAccess::Make(
        parser_, JsonAccess::Element(*this).get_array().value_unsafe().at(index).value_unsafe());
  }
  return found;
}

void JsonValue::VisitMembers(Visitor visitor, void* context) const {
  JsonAccess::Members(*this, [&](std::string_view key, auto value) {
    visitor(context, key, value());
    return true;
  });
}

void JsonValue::VisitElements(Visitor visitor, void* context) const {
  if (JsonAccess::IsLenient(*this)) {
    if (JsonAccess::Node(*this).kind != Kind::kArray) return;
    JsonAccess::LenientChildren(*this, [&](const LenientNode&, uint64_t node) {
      visitor(context, {}, JsonAccess::Make(parser_, node));
      return true;
    });
    return;
  }
  dom::array array;
  if (JsonAccess::Element(*this).get(array) != simdjson::SUCCESS) return;
  for (dom::element element : array) visitor(context, {}, JsonAccess::Make(parser_, element));
}

JsonParser::JsonParser() : impl_(std::make_unique<Impl>()) {}
JsonParser::~JsonParser() = default;

StatusOr<JsonValue> JsonParser::Parse(std::string_view padded_text) {
  impl_->Forget();
  impl_->text = padded_text;
  WEIR_ASSIGN_OR_RETURN(dom::parser * parser, impl_->ParserFor(padded_text.size()));
  dom::element root;
  const auto error =
      parser->parse(padded_text.data(), padded_text.size(), /*realloc_if_needed=*/false).get(root);
  if (error == simdjson::SUCCESS) return JsonAccess::Make(this, root);
  WEIR_RETURN_IF_ERROR(impl_->ParseLenient());
  if (error == simdjson::NUMBER_ERROR || error == simdjson::DEPTH_ERROR ||
      error == simdjson::STRING_ERROR || error == simdjson::CAPACITY) {
    return JsonAccess::Make(this, uint64_t{0});
  }
  return absl::InvalidArgumentError(fmt::format("not JSON: {}", simdjson::error_message(error)));
}

StatusOr<JsonValue> JsonParser::ParseUnpadded(std::string_view text) {
  // Values of the document before end here, and so may point into the copy.
  std::string copy;
  copy.reserve(text.size() + limits::kSlabPaddingBytes);
  copy.append(text);
  copy.append(limits::kSlabPaddingBytes, '\0');
  impl_->copy.swap(copy);
  return Parse(std::string_view(impl_->copy).substr(0, text.size()));
}

bool IsValidUtf8(std::string_view bytes) {
  return simdjson::validate_utf8(bytes.data(), bytes.size());
}

}  // namespace weir
