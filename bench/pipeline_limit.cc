// pipeline_limit INPUT_FOLDER OUTPUT_FOLDER: the least that the event pipeline's work costs on this
// machine, as a bare loop over the bare libraries in one thread; the engine's figure is divided by
// this one's.
//
// Every line is validated as a whole and four of its fields are read (simdjson's DOM, as the engine
// does), the id is hashed (XXH3, 128 bits) and looked up in an exact table of all ids, new events
// are routed by type, copied to a block of 1 MiB per route, compressed (zstd, level 1) and written;
// the ids are sorted and written as sorted files of RocksDB, one per slice of three hours. The
// files are synced. Nothing here survives a crash, has a limit, or knows a late event: that is what
// an engine may cost.
//
// Prints one JSON object: CPU nanoseconds per event for each step (the thread's CPU clock, read
// once per step of 1,024 events), the whole process's CPU seconds, and what came out on each route.

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <simdjson.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/bare.h"

namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kBlockBytes = 1 << 20;
constexpr int64_t kSliceUs = 3 * 3'600'000'000;

using bare::Fail;
using bare::Id;
using bare::IdTable;
using bare::kBatchRows;
using bare::Require;

// CPU time by step: Lap() adds what has passed since the last one.
class Steps {
 public:
  enum Step { kRead, kParse, kProbe, kRoute, kCompress, kWrite, kSort, kSortedFile, kCount };
  static constexpr std::array<std::string_view, kCount> kNames = {"read and split lines",
                                                                  "validate, four fields",
                                                                  "hash and probe",
                                                                  "route and copy",
                                                                  "compress",
                                                                  "write and sync",
                                                                  "sort ids",
                                                                  "write sorted files"};

  Steps() : last_(bare::ThreadCpuNs()) {}
  void Lap(Step step) {
    const int64_t now = bare::ThreadCpuNs();
    ns_[step] += now - last_;
    last_ = now;
  }
  int64_t ns(int step) const { return ns_[step]; }

 private:
  std::array<int64_t, kCount> ns_{};
  int64_t last_;
};

// The lines of a file, in batches; views live until the next one.
class LineReader {
 public:
  explicit LineReader(const std::string& path) : path_(path) {
    fd_ = open(path.c_str(), O_RDONLY);
    Require(fd_ >= 0, path);
  }
  ~LineReader() { close(fd_); }

  bool Next(std::vector<std::string_view>& lines) {
    lines.clear();
    while (lines.size() < kBatchRows) {
      const char* begin = buffer_.get() + begin_;
      const auto* feed = static_cast<const char*>(memchr(begin, '\n', end_ - begin_));
      if (feed != nullptr) {
        lines.emplace_back(begin, feed - begin);
        begin_ += lines.back().size() + 1;
      } else if (!lines.empty() || !Fill()) {
        break;
      }
    }
    return !lines.empty();
  }

 private:
  bool Fill() {
    std::memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    Require(end_ < kReadBytes, path_ + ": a line is too long");
    const ssize_t n = read(fd_, buffer_.get() + end_, kReadBytes - end_);
    Require(n >= 0, path_);
    if (n == 0 && end_ > 0) Fail(path_ + ": no line feed at the end");
    end_ += n;
    return n > 0;
  }

  const std::string path_;
  int fd_;
  std::unique_ptr<char[]> buffer_{new char[kReadBytes + simdjson::SIMDJSON_PADDING]};
  size_t begin_ = 0;
  size_t end_ = 0;
};

// "2026-03-02T06:00:00.509Z", in microseconds; only the form that the generator writes.
std::optional<int64_t> ParseTime(std::string_view text) {
  if (text.size() != 24 || text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' ||
      text[16] != ':' || text[19] != '.' || text[23] != 'Z') {
    return std::nullopt;
  }
  auto number = [&](int at, int digits) {
    int64_t result = 0;
    for (; digits > 0; --digits) result = result * 10 + (text[at++] - '0');
    return result;
  };
  int64_t year = number(0, 4);
  const int64_t month = number(5, 2);
  year -= month <= 2;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + number(8, 2) - 1;
  const int64_t days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719'468;
  return ((days * 24 + number(11, 2)) * 3600 + number(14, 2) * 60 + number(17, 2)) * 1'000'000 +
         number(20, 3) * 1000;
}

// Four fields of an event. Strings are copied: the parser's are gone with the next line.
struct Fields {
  int64_t time = 0;
  std::string_view id;
  std::string_view type;
  std::string_view tenant;
};

class FieldReader {
 public:
  FieldReader() { Require(!parser_.allocate(kReadBytes), "memory for the parser"); }

  void Read(const std::vector<std::string_view>& lines, std::vector<Fields>& rows) {
    arena_used_ = 0;
    rows.resize(lines.size());
    for (size_t i = 0; i < lines.size(); ++i) {
      if (!ReadOne(lines[i], rows[i])) Fail(fmt::format("cannot read the line: {}", lines[i]));
    }
  }

 private:
  bool ReadOne(std::string_view line, Fields& row) {
    simdjson::dom::object object;
    if (parser_.parse(line.data(), line.size(), /*realloc_if_needed=*/false).get(object)) {
      return false;
    }
    int missing = 4;
    for (auto [key, value] : object) {
      std::string_view text;
      if (key == "id") {
        if (value.get(text)) return false;
        row.id = Keep(text);
      } else if (key == "time") {
        if (value.get(text)) return false;
        const auto time = ParseTime(text);
        if (!time) return false;
        row.time = *time;
      } else if (key == "type") {
        if (value.get(text)) return false;
        row.type = Keep(text);
      } else if (key == "tenant") {
        if (value.get(text)) return false;
        row.tenant = Keep(text);
      } else {
        continue;
      }
      if (--missing == 0) return true;
    }
    return false;
  }
  std::string_view Keep(std::string_view text) {
    Require(arena_used_ + text.size() <= kArenaBytes, "fields are too long");
    char* to = arena_.get() + arena_used_;
    std::memcpy(to, text.data(), text.size());
    arena_used_ += text.size();
    return {to, text.size()};
  }

  static constexpr size_t kArenaBytes = 1 << 20;
  simdjson::dom::parser parser_;
  std::unique_ptr<char[]> arena_{new char[kArenaBytes]};
  size_t arena_used_ = 0;
};

// A route's file and the block that is being filled.
struct Route {
  std::string name;
  int fd = -1;
  uint64_t events = 0;
  std::unique_ptr<char[]> block{new char[kBlockBytes]};
  size_t used = 0;
};

class Routes {
 public:
  Routes(const std::string& folder, Steps& steps) : steps_(steps) {
    for (const char* name : {"warehouse", "billing", "alerts", "audit"}) {
      Route& route = routes_.emplace_back();
      route.name = name;
      const std::string path = fmt::format("{}/{}.jsonl.zst", folder, name);
      route.fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      Require(route.fd >= 0, path);
    }
  }

  // pipeline_routes.yaml says the same to the engine.
  Route& For(std::string_view type) {
    if (type == "purchase" || type == "refund") return routes_[1];
    if (type == "error") return routes_[2];
    if (type == "login" || type == "logout") return routes_[3];
    return routes_[0];
  }
  void Append(Route& route, std::string_view line) {
    if (route.used + line.size() + 1 > kBlockBytes) Flush(route);
    std::memcpy(route.block.get() + route.used, line.data(), line.size());
    route.used += line.size();
    route.block[route.used++] = '\n';
    ++route.events;
  }
  void Finish() {
    for (Route& route : routes_) {
      Flush(route);
      Require(fdatasync(route.fd) == 0 && close(route.fd) == 0, route.name);
    }
    steps_.Lap(Steps::kWrite);
  }
  const std::vector<Route>& all() const { return routes_; }

 private:
  void Flush(Route& route) {
    steps_.Lap(Steps::kRoute);
    const size_t n = ZSTD_compressCCtx(context_, compressed_.get(), bound_, route.block.get(),
                                       route.used, /*compressionLevel=*/1);
    Require(!ZSTD_isError(n), "compressing");
    route.used = 0;
    steps_.Lap(Steps::kCompress);
    Require(write(route.fd, compressed_.get(), n) == static_cast<ssize_t>(n), route.name);
    steps_.Lap(Steps::kWrite);
  }

  Steps& steps_;
  std::vector<Route> routes_;
  ZSTD_CCtx* const context_ = ZSTD_createCCtx();
  const size_t bound_ = ZSTD_compressBound(kBlockBytes);
  const std::unique_ptr<char[]> compressed_{new char[bound_]};
};

std::vector<std::string> FilesOf(const std::string& folder, size_t& bytes) {
  std::vector<std::string> paths;
  DIR* directory = opendir(folder.c_str());
  Require(directory != nullptr, folder);
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    paths.push_back(folder + "/" + entry->d_name);
    struct stat info;
    Require(stat(paths.back().c_str(), &info) == 0, paths.back());
    bytes += info.st_size;
  }
  closedir(directory);
  std::sort(paths.begin(), paths.end());
  return paths;
}

void Run(const std::string& input, const std::string& output) {
  Steps steps;
  size_t input_bytes = 0;
  const std::vector<std::string> paths = FilesOf(input, input_bytes);
  constexpr size_t kEventBytesAtLeast = 256;
  const size_t ids_at_most = input_bytes / kEventBytesAtLeast;
  IdTable table(ids_at_most);
  FieldReader fields;
  Routes routes(output, steps);
  std::map<int64_t, std::vector<Id>> new_ids;  // by slice
  std::vector<std::string_view> lines;
  std::vector<Fields> rows;
  std::array<Id, kBatchRows> ids;
  std::array<uint8_t, kBatchRows> is_new;
  uint64_t events = 0;

  for (const std::string& path : paths) {
    LineReader reader(path);
    while (reader.Next(lines)) {
      events += lines.size();
      steps.Lap(Steps::kRead);
      fields.Read(lines, rows);
      steps.Lap(Steps::kParse);

      for (size_t i = 0; i < rows.size(); ++i) {
        const XXH128_hash_t hash = XXH3_128bits(rows[i].id.data(), rows[i].id.size());
        ids[i] = {hash.high64, hash.low64};
      }
      table.Insert(std::span(ids).first(rows.size()), is_new);
      int64_t slice = 0;
      std::vector<Id>* of_slice = nullptr;
      for (size_t i = 0; i < rows.size(); ++i) {
        if (!is_new[i]) continue;
        if (of_slice == nullptr || rows[i].time / kSliceUs != slice) {
          slice = rows[i].time / kSliceUs;
          of_slice = &new_ids[slice];
          // Address space; only what is used becomes memory.
          if (of_slice->empty()) of_slice->reserve(ids_at_most);
        }
        of_slice->push_back(ids[i]);
      }
      steps.Lap(Steps::kProbe);

      for (size_t i = 0; i < rows.size(); ++i) {
        if (is_new[i]) routes.Append(routes.For(rows[i].type), lines[i]);
      }
      steps.Lap(Steps::kRoute);
    }
  }
  routes.Finish();
  for (auto& [slice, slice_ids] : new_ids) {
    bare::SortIds(slice_ids);
    steps.Lap(Steps::kSort);
    bare::WriteSortedFile(fmt::format("{}/ids-{}.sst", output, slice), slice_ids,
                          bare::IdOptions());
    steps.Lap(Steps::kSortedFile);
  }

  const double cpu_s = static_cast<double>(bare::ProcessCpuNs()) / 1e9;
  fmt::print("{{\"events\":{},\"cpu_s\":{:.3f},\"ns_per_event\":{{", events, cpu_s);
  for (int i = 0; i < Steps::kCount; ++i) {
    fmt::print("{}\"{}\":{:.1f}", i == 0 ? "" : ",", Steps::kNames[i],
               static_cast<double>(steps.ns(i)) / static_cast<double>(events));
  }
  fmt::print("}},\"routes\":{{");
  for (size_t i = 0; i < routes.all().size(); ++i) {
    const Route& route = routes.all()[i];
    fmt::print("{}\"{}\":{}", i == 0 ? "" : ",", route.name, route.events);
  }
  fmt::print("}}}}\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: pipeline_limit INPUT_FOLDER OUTPUT_FOLDER\n");
    return 64;
  }
  Run(argv[1], argv[2]);
  return 0;
}
