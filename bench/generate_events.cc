// generate_events FOLDER [EVENTS] [SEED]: the input of the pipeline benchmark, the same bytes for
// the same arguments.
//
// JSON events of about 300 bytes over twelve hours of event time, in four plain files as if four
// collectors had received them: every file reaches over the whole time. 10% of the lines repeat an
// earlier event byte for byte, most of them minutes later, some hours, and where they stand is
// chosen anew; all are within a dedup window of 24 hours. Half of the events belong to one tenant.
// Prints one JSON object: how many lines and bytes there are, and how many events are distinct.

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

namespace {

constexpr int kFiles = 4;
constexpr uint64_t kDuplicatesPercent = 10;
constexpr int64_t kSpanMs = 12 * 3'600'000;
constexpr int64_t kJitterMs = 2'000;  // collectors do not sort

constexpr std::array kTypes = {"page_view", "page_view", "page_view", "page_view",
                               "page_view", "click",     "click",     "search",
                               "search",    "purchase",  "refund",    "login",
                               "login",     "logout",    "error",     "heartbeat"};
constexpr std::array kTenants = {"acme",  "acme",     "acme",   "acme",   "acme",  "acme",
                                 "acme",  "acme",     "globex", "globex", "hooli", "initech",
                                 "stark", "umbrella", "wayne",  "wonka"};
constexpr std::array kPaths = {"/",
                               "/cart",
                               "/checkout",
                               "/search?q=",
                               "/account/orders/",
                               "/catalog/shoes/",
                               "/catalog/books/",
                               "/catalog/garden/"};
constexpr std::array kAgents = {
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/123.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.4.1 Safari/605.1.15",
    "ShopApp/7.31.0 (com.example.shop; build:1842; iOS 17.4.1) Alamofire/5.8.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:124.0) Gecko/20100101 Firefox/124.0"};

// SplitMix64: any starting value will do, so each event has a generator of its own.
class Random {
 public:
  explicit Random(uint64_t state) : state_(state) {}
  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t n) { return Next() % n; }
  template <class Array>
  std::string_view Pick(const Array& choices) {
    return choices[Below(choices.size())];
  }

 private:
  uint64_t state_;
};

class Events {
 public:
  Events(uint64_t count, uint64_t seed) : count_(count), seed_(seed) {}

  // The event that line i repeats, or i itself.
  uint64_t OriginalOf(uint64_t i) const {
    for (;;) {
      Random random(seed_ ^ (i * 0xD1B54A32D192ED03u));
      if (i == 0 || random.Below(100) >= kDuplicatesPercent) return i;
      // Evenly over the orders of magnitude: as many repeats come at once as after hours.
      const uint64_t reach = uint64_t{1} << random.Below(64 - __builtin_clzll(i));
      i -= 1 + random.Below(reach);
    }
  }

  // Event i's line, with the line feed. REQUIRES: OriginalOf(i) == i.
  void Append(uint64_t i, std::string& line) const {
    Random random(~seed_ ^ (i * 0xD1B54A32D192ED03u));
    line += R"({"id":")";
    AppendId(random, line);
    line += R"(","time":"2026-03-02T)";
    AppendTime(static_cast<int64_t>(i * kSpanMs / count_ + random.Below(kJitterMs)), line);
    AppendField(R"(Z","type":")", random.Pick(kTypes), line);
    AppendField(R"(","tenant":")", random.Pick(kTenants), line);
    AppendNumber(R"(","priority":)", random.Below(4), line);
    AppendNumber(R"(,"user":"u)", 1'000'000 + random.Below(200'000), line);
    const std::string_view path = random.Pick(kPaths);
    AppendField(R"(","url":"https://shop.example.com)", path, line);
    if (path.size() > 1 && path.back() == '/') AppendNumber("", random.Below(5'000), line);
    AppendNumber(R"(","status":)", random.Below(50) == 0 ? 500 : 200, line);
    AppendNumber(R"(,"duration_ms":)", random.Below(400), line);
    AppendField(R"(,"agent":")", random.Pick(kAgents), line);
    line += "\"}\n";
  }

 private:
  static void AppendField(std::string_view key, std::string_view text, std::string& line) {
    line += key;
    line += text;
  }
  static void AppendNumber(std::string_view key, uint64_t number, std::string& line) {
    std::array<char, 20> digits;
    const char* end = std::to_chars(digits.begin(), digits.end(), number).ptr;
    AppendField(key, {digits.data(), static_cast<size_t>(end - digits.data())}, line);
  }
  static void AppendId(Random& random, std::string& line) {
    constexpr std::string_view kAlphabet = "0123456789abcdefghjkmnpqrstvwxyz";
    for (int half = 0; half < 2; ++half) {
      uint64_t bits = random.Next();
      for (int i = 0; i < 10; ++i, bits >>= 5) line += kAlphabet[bits & 31];
    }
  }
  // "06:00:00.000" and so many milliseconds more.
  static void AppendTime(int64_t ms, std::string& line) {
    std::array<char, 12> text = {'0', '0', ':', '0', '0', ':', '0', '0', '.', '0', '0', '0'};
    auto digits = [&](int last, int count, int64_t number) {
      for (; count > 0; --count, number /= 10) text[last--] = static_cast<char>('0' + number % 10);
    };
    digits(1, 2, 6 + ms / 3'600'000);
    digits(4, 2, ms / 60'000 % 60);
    digits(7, 2, ms / 1'000 % 60);
    digits(11, 3, ms % 1'000);
    line.append(text.data(), text.size());
  }

  const uint64_t count_;
  const uint64_t seed_;
};

[[noreturn]] void Fail(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

class OutputFile {
 public:
  explicit OutputFile(std::string path) : path_(std::move(path)) {
    file_ = std::fopen(path_.c_str(), "wb");
    if (file_ == nullptr) Fail(path_);
  }
  void Write(std::string_view bytes) {
    buffer_ += bytes;
    if (buffer_.size() >= kBufferBytes) Flush();
  }
  void Close() {
    Flush();
    if (std::fclose(file_) != 0) Fail(path_);
  }

 private:
  static constexpr size_t kBufferBytes = 1 << 20;
  void Flush() {
    if (std::fwrite(buffer_.data(), 1, buffer_.size(), file_) != buffer_.size()) Fail(path_);
    buffer_.clear();
  }

  const std::string path_;
  std::FILE* file_;
  std::string buffer_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 4) {
    fmt::print(stderr, "usage: generate_events FOLDER [EVENTS] [SEED]\n");
    return 64;
  }
  const std::string folder = argv[1];
  const uint64_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 3'000'000;
  const uint64_t seed = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 1;

  std::array<std::unique_ptr<OutputFile>, kFiles> files;
  for (int i = 0; i < kFiles; ++i) {
    files[i] = std::make_unique<OutputFile>(fmt::format("{}/collector-{}.jsonl", folder, i));
  }
  const Events events(count, seed);
  Random collectors(seed);
  uint64_t bytes = 0;
  uint64_t distinct = 0;
  std::string line;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t original = events.OriginalOf(i);
    distinct += original == i;
    line.clear();
    events.Append(original, line);
    bytes += line.size();
    files[collectors.Below(kFiles)]->Write(line);
  }
  for (auto& file : files) file->Close();
  fmt::print("{{\"events\":{},\"bytes\":{},\"distinct\":{}}}\n", count, bytes, distinct);
  return 0;
}
