// repeats generate IDS FILE | repeats check IDS
//
// generate: the input of the benchmark of deduplication in little memory, the same bytes each time.
// Short JSON events with IDS different ids over 24 hours of event time, in order. One line in ten
// repeats an id from at least three hours before, that is, one that is not among the newest slices
// of a window of 24 hours. Prints how many lines and repeats there are.
//
// check: reads the lines that came out on stdin and tells how many ids are missing, doubled, or
// were never sent; exit code 1 if any.

#include <fmt/format.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int64_t kSpanMs = 24 * 3'600'000;
constexpr int64_t kStartMs = 1'772'409'600'000;  // 2026-03-02
constexpr uint64_t kRepeatEvery = 10;

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

// Event n's line; n is in it, so that whoever reads it can tell which one it is.
void Append(uint64_t n, int64_t time_ms, std::string& out) {
  fmt::format_to(std::back_inserter(out),
                 R"({{"id":"{:016x}-{}","time":{},"n":{}}})"
                 "\n",
                 Mix(n + 1), n, time_ms, n);
}

int Generate(uint64_t ids, const char* path) {
  std::FILE* file = std::fopen(path, "wb");
  if (file == nullptr) {
    std::perror(path);
    return 1;
  }
  const uint64_t old = ids / 8;  // events of three hours
  uint64_t lines = 0;
  uint64_t repeats = 0;
  std::string text;
  bool ok = true;
  for (uint64_t n = 0; n < ids; ++n) {
    const int64_t time_ms = kStartMs + static_cast<int64_t>(static_cast<double>(n) /
                                                            static_cast<double>(ids) * kSpanMs);
    Append(n, time_ms, text);
    ++lines;
    // So that of all lines, not of the new ones, every tenth is a repeat.
    if (n % (kRepeatEvery - 1) == 0 && n > old) {
      Append(Mix(~n) % (n - old), time_ms, text);
      ++lines;
      ++repeats;
    }
    if (text.size() < (1 << 20) && n + 1 < ids) continue;
    ok = ok && std::fwrite(text.data(), 1, text.size(), file) == text.size();
    text.clear();
  }
  ok = std::fclose(file) == 0 && ok;
  if (!ok) {
    std::perror(path);
    return 1;
  }
  fmt::print("{{\"lines\":{},\"repeats\":{}}}\n", lines, repeats);
  return 0;
}

int Check(uint64_t ids) {
  std::vector<bool> seen(ids);
  uint64_t lines = 0;
  uint64_t doubled = 0;
  uint64_t alien = 0;
  char* line = nullptr;
  size_t capacity = 0;
  for (ssize_t size = 0; (size = getline(&line, &capacity, stdin)) > 0; ++lines) {
    const std::string_view text(line, static_cast<size_t>(size));
    const size_t at = text.find("\"n\":");
    uint64_t n = ids;
    if (at == std::string_view::npos || std::sscanf(line + at, "\"n\":%" SCNu64, &n) != 1 ||
        n >= ids) {
      ++alien;
    } else if (seen[n]) {
      ++doubled;
    } else {
      seen[n] = true;
    }
  }
  std::free(line);
  uint64_t missing = 0;
  for (uint64_t n = 0; n < ids; ++n) missing += seen[n] ? 0 : 1;
  fmt::print("{{\"lines\":{},\"missing\":{},\"doubled\":{},\"alien\":{}}}\n", lines, missing,
             doubled, alien);
  return missing + doubled + alien == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view action = argc > 1 ? argv[1] : "";
  const uint64_t ids = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  if (action == "generate" && argc == 4 && ids > 0) return Generate(ids, argv[3]);
  if (action == "check" && argc == 3 && ids > 0) return Check(ids);
  fmt::print(stderr, "usage: repeats generate IDS FILE | repeats check IDS\n");
  return 64;
}
