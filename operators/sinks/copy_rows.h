// Rows as PostgreSQL's COPY takes them in its text format: a line per row, its values between tabs.
// CopyWriter writes them, CopyFormatter makes them of the rows of a batch.
#pragma once

#include <fmt/format.h>

#include <boost/mp11/algorithm.hpp>
#include <concepts>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/batch.h"
#include "core/codec.h"
#include "core/event.h"
#include "operators/operator.h"
#include "operators/sinks/postgres_options.h"

namespace weir {

// Rows that go out together.
struct CopyBlock {
  std::string bytes;
  std::vector<size_t> ends;  // where each row's line ends
  std::vector<Timestamp> times;

  size_t rows() const { return ends.size(); }
  size_t memory_bytes() const {
    return bytes.capacity() + rows() * (sizeof(size_t) + sizeof(Timestamp));
  }
  // Lines [first, last).
  std::string_view Lines(size_t first, size_t last) const {
    const size_t begin = first == 0 ? 0 : ends[first - 1];
    return std::string_view(bytes).substr(begin, last == 0 ? 0 : ends[last - 1] - begin);
  }
};

// The values of a line as they were; null where they are NULL.
std::vector<std::optional<std::string>> ParseCopyLine(std::string_view line);

// What goes to the dead letters for a row: the value of the column that is the record, else a JSON
// object of all.
std::string RecordOf(std::span<const PostgresColumn> columns,
                     std::span<const std::optional<std::string>> values);

// Belongs to one sink instance, which calls it from its task. For each row the values of all
// columns, in their order, then EndRow().
class CopyWriter {
 public:
  explicit CopyWriter(std::vector<PostgresColumn> columns) : columns_(std::move(columns)) {}

  void Null();
  void Bool(bool value);
  template <class T>
  requires std::integral<T>
  void Integer(T value) { fmt::format_to(std::back_inserter(NextValue()), "{}", value); }
  void Number(double value);
  // Bytes that PostgreSQL has no text for, NUL and what is not UTF-8, have the row rejected.
  void Text(std::string_view value);
  void Time(Timestamp value);
  void Bytes(std::string_view value);
  // A row that has been found wrong is rejected here.
  void EndRow(Timestamp time);

  std::span<const PostgresColumn> columns() const { return columns_; }
  size_t block_bytes() const { return block_.bytes.size(); }
  CopyBlock TakeBlock(std::string spare = {});
  // Where rejected rows go until the next call.
  void set_rejects(Output& out) { rejects_ = &out; }

 private:
  std::string& NextValue() {
    if (column_++ > 0) block_.bytes.push_back('\t');
    return block_.bytes;
  }

  const std::vector<PostgresColumn> columns_;
  Output* rejects_ = nullptr;
  CopyBlock block_;
  size_t column_ = 0;  // of the row that is being written
  std::string wrong_;  // with it; empty: nothing
};

// How the rows of a batch become such lines. Belongs to one sink instance, which calls it from its
// task; one virtual call per batch.
class CopyFormatter {
 public:
  virtual ~CopyFormatter() = default;
  virtual const std::vector<PostgresColumn>& columns() const = 0;
  virtual void Format(const BatchBase& batch, CopyWriter& out) = 0;
};

// Members of an Event, each in a column.
enum class EventMember { kId, kTenant, kType, kRoute, kTime, kPriority, kPayload };

struct EventColumn {
  EventMember member = EventMember::kId;
  std::string column;
};

// Batch<Event>. An empty tenant, type or route is NULL; the time is the batch's, which is usable in
// any case.
class EventCopyRows final : public CopyFormatter {
 public:
  explicit EventCopyRows(std::vector<EventColumn> columns);
  const std::vector<PostgresColumn>& columns() const override { return columns_; }
  void Format(const BatchBase& batch, CopyWriter& out) override;

 private:
  const std::vector<EventColumn> members_;
  std::vector<PostgresColumn> columns_;
};

// Members of a described type that are written in a way that their type does not tell.
struct CopyHints {
  std::vector<std::string> times;  // integers that are Timestamps
  std::vector<std::string> bytes;  // strings that are any bytes, for bytea
};

namespace internal {

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {
  using Value = T;
};

template <class T>
constexpr PostgresKind KindOf() {
  if constexpr (IsOptional<T>::value) {
    return KindOf<typename IsOptional<T>::Value>();
  } else if constexpr (std::same_as<T, bool>) {
    return PostgresKind::kBool;
  } else if constexpr (std::integral<T> || std::is_enum_v<T>) {
    return PostgresKind::kInteger;
  } else if constexpr (std::floating_point<T>) {
    return PostgresKind::kNumber;
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    return PostgresKind::kText;
  } else {
    return PostgresKind::kJson;
  }
}

// The columns of a described type: its members, by their names.
template <class T>
std::vector<PostgresColumn> ColumnsOf(const CopyHints& hints) {
  std::vector<PostgresColumn> columns;
  Codec<T>::EachMember([&](auto member) {
    using Member = std::decay_t<decltype(std::declval<T&>().*member.pointer)>;
    PostgresColumn column{.name = member.name, .kind = KindOf<Member>()};
    auto is_in = [&](const std::vector<std::string>& names) {
      return std::find(names.begin(), names.end(), column.name) != names.end();
    };
    if (column.kind == PostgresKind::kInteger && is_in(hints.times)) {
      column.kind = PostgresKind::kTime;
    }
    if (column.kind == PostgresKind::kText && is_in(hints.bytes)) {
      column.kind = PostgresKind::kBytes;
    }
    columns.push_back(std::move(column));
    return true;
  });
  return columns;
}

}  // namespace internal

// Batch<T> of a type that Boost.Describe knows. Optional members are NULL where they are empty;
// lists, maps and structs are JSON.
template <class T>
class CopyRows final : public CopyFormatter {
 public:
  explicit CopyRows(const CopyHints& hints) : columns_(internal::ColumnsOf<T>(hints)) {}
  const std::vector<PostgresColumn>& columns() const override { return columns_; }

  void Format(const BatchBase& batch, CopyWriter& out) override {
    const auto rows = Batch<T>::Of(batch).values();
    for (size_t i = 0; i < rows.size(); ++i) {
      size_t column = 0;
      Codec<T>::EachMember([&](auto member) {
        Write(rows[i].*member.pointer, columns_[column++].kind, out);
        return true;
      });
      out.EndRow(batch.times()[i]);
    }
  }

 private:
  template <class V>
  void Write(const V& value, PostgresKind kind, CopyWriter& out) {
    if constexpr (internal::IsOptional<V>::value) {
      value ? Write(*value, kind, out) : out.Null();
    } else if constexpr (std::same_as<V, bool>) {
      out.Bool(value);
    } else if constexpr (std::is_enum_v<V>) {
      out.Integer(static_cast<int64_t>(value));
    } else if constexpr (std::integral<V>) {
      kind == PostgresKind::kTime ? out.Time(static_cast<Timestamp>(value)) : out.Integer(+value);
    } else if constexpr (std::floating_point<V>) {
      out.Number(value);
    } else if constexpr (std::convertible_to<const V&, std::string_view>) {
      kind == PostgresKind::kBytes ? out.Bytes(value) : out.Text(value);
    } else {
      json_.Clear();
      Codec<V>::WriteJson(value, json_);
      out.Text(json_.text());
    }
  }

  const std::vector<PostgresColumn> columns_;
  JsonWriter json_;
};

}  // namespace weir
