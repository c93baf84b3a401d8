#include "operators/sinks/copy_rows.h"

#include <array>
#include <chrono>
#include <cmath>
#include <cstring>

#include "core/json.h"

namespace weir {
namespace {

// What stands behind a backslash for a byte; 0: the byte stands for itself.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> escapes{};
  escapes['\\'] = '\\';
  escapes['\t'] = 't';
  escapes['\n'] = 'n';
  escapes['\r'] = 'r';
  return escapes;
}();

char Unescaped(char c) {
  switch (c) {
    case 't':
      return '\t';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    default:
      return c;
  }
}

void AppendEscaped(std::string_view value, std::string& out) {
  size_t begin = 0;
  for (size_t i = 0; i < value.size(); ++i) {
    const char escape = kEscapes[static_cast<unsigned char>(value[i])];
    if (escape == 0) continue;
    out.append(value, begin, i - begin);
    out.push_back('\\');
    out.push_back(escape);
    begin = i + 1;
  }
  out.append(value, begin, value.size() - begin);
}

}  // namespace

std::vector<std::optional<std::string>> ParseCopyLine(std::string_view line) {
  std::vector<std::optional<std::string>> values(1);
  if (line.ends_with('\n')) line.remove_suffix(1);
  values[0].emplace();
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\t') {
      values.emplace_back().emplace();
    } else if (line[i] != '\\' || i + 1 == line.size()) {
      if (values.back()) values.back()->push_back(line[i]);
    } else if (line[++i] == 'N') {
      values.back().reset();
    } else if (values.back()) {
      values.back()->push_back(Unescaped(line[i]));
    }
  }
  return values;
}

std::string RecordOf(std::span<const PostgresColumn> columns,
                     std::span<const std::optional<std::string>> values) {
  for (size_t i = 0; i < columns.size() && i < values.size(); ++i) {
    if (columns[i].is_record) return values[i].value_or("");
  }
  JsonWriter json;
  json.StartObject();
  for (size_t i = 0; i < columns.size() && i < values.size(); ++i) {
    json.Key(columns[i].name);
    if (!values[i]) {
      json.Null();
    } else if (columns[i].kind == PostgresKind::kInteger && !values[i]->starts_with('-')) {
      json.Uint(std::strtoull(values[i]->c_str(), nullptr, 10));
    } else if (columns[i].kind == PostgresKind::kInteger) {
      json.Int(std::strtoll(values[i]->c_str(), nullptr, 10));
    } else if (columns[i].kind == PostgresKind::kNumber) {
      json.Double(std::strtod(values[i]->c_str(), nullptr));
    } else if (columns[i].kind == PostgresKind::kBool) {
      json.Bool(*values[i] == "t");
    } else {
      json.String(*values[i]);
    }
  }
  json.EndObject();
  return std::string(json.text());
}

void CopyWriter::Null() { NextValue().append("\\N"); }

void CopyWriter::Bool(bool value) { NextValue().push_back(value ? 't' : 'f'); }

void CopyWriter::Number(double value) {
  fmt::format_to(std::back_inserter(NextValue()), "{}", value);
}

void CopyWriter::Text(std::string_view value) {
  if (wrong_.empty() && value.find('\0') != value.npos) {
    wrong_ = fmt::format("the value of column '{}' holds a NUL, which PostgreSQL has no text for",
                         columns_[column_].name);
  } else if (wrong_.empty() && !IsValidUtf8(value)) {
    wrong_ = fmt::format("the value of column '{}' is not UTF-8", columns_[column_].name);
  }
  AppendEscaped(value, NextValue());
}

void CopyWriter::Time(Timestamp value) {
  using namespace std::chrono;
  static constexpr sys_time<microseconds> kFirst = sys_days(year(-4712) / January / 1);
  static constexpr sys_time<microseconds> kLast = sys_days(year(32767) / January / 1);
  if (value < kFirst.time_since_epoch().count() || value >= kLast.time_since_epoch().count()) {
    wrong_ = fmt::format("the time of column '{}' lies before 4713 BC or behind the year 32766",
                         columns_[column_].name);
    return Integer(value);
  }
  const sys_time<microseconds> time{microseconds(value)};
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const int64_t within = duration_cast<microseconds>(time - day).count();
  // The year before 1 is 1 BC, which is 0 here.
  const int year = static_cast<int>(date.year());
  fmt::format_to(std::back_inserter(NextValue()), "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}+00{}",
                 year > 0 ? year : 1 - year, static_cast<unsigned>(date.month()),
                 static_cast<unsigned>(date.day()), within / Hours(1), within / Minutes(1) % 60,
                 within / Seconds(1) % 60, within % Seconds(1), year > 0 ? "" : " BC");
}

void CopyWriter::Bytes(std::string_view value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string& out = NextValue();
  out.append("\\\\x");
  for (const char c : value) {
    out.push_back(kDigits[static_cast<unsigned char>(c) >> 4]);
    out.push_back(kDigits[static_cast<unsigned char>(c) & 15]);
  }
}

void CopyWriter::EndRow(Timestamp time) {
  WEIR_CHECK(column_ == columns_.size());
  column_ = 0;
  const size_t begin = block_.ends.empty() ? 0 : block_.ends.back();
  if (!wrong_.empty()) {
    const auto values = ParseCopyLine(std::string_view(block_.bytes).substr(begin));
    block_.bytes.resize(begin);
    rejects_->Reject(wrong_, RecordOf(columns_, values), time);
    wrong_.clear();
    return;
  }
  block_.bytes.push_back('\n');
  block_.ends.push_back(block_.bytes.size());
  block_.times.push_back(time);
}

CopyBlock CopyWriter::TakeBlock(std::string spare) {
  CopyBlock block;
  std::swap(block, block_);
  spare.clear();
  block_.bytes = std::move(spare);
  return block;
}

EventCopyRows::EventCopyRows(std::vector<EventColumn> columns) : members_(std::move(columns)) {
  for (const EventColumn& member : members_) {
    PostgresColumn column{.name = member.column};
    if (member.member == EventMember::kTime) column.kind = PostgresKind::kTime;
    if (member.member == EventMember::kPriority) column.kind = PostgresKind::kInteger;
    column.is_record = member.member == EventMember::kPayload;
    columns_.push_back(std::move(column));
  }
}

void EventCopyRows::Format(const BatchBase& batch, CopyWriter& out) {
  const auto events = Batch<Event>::Of(batch).values();
  const auto times = batch.times();
  auto text_or_null = [&](std::string_view text) { text.empty() ? out.Null() : out.Text(text); };
  for (size_t i = 0; i < events.size(); ++i) {
    const Event& event = events[i];
    for (const EventColumn& column : members_) {
      switch (column.member) {
        case EventMember::kId:
          out.Text(event.id);
          break;
        case EventMember::kTenant:
          text_or_null(event.tenant);
          break;
        case EventMember::kType:
          text_or_null(event.type);
          break;
        case EventMember::kRoute:
          text_or_null(event.route);
          break;
        case EventMember::kTime:
          out.Time(times[i]);
          break;
        case EventMember::kPriority:
          out.Integer(event.priority);
          break;
        case EventMember::kPayload:
          out.Text(event.payload);
          break;
      }
    }
    out.EndRow(times[i]);
  }
}

}  // namespace weir
