// A file sink and what a runtime would do for it, by hand; and its output read back with zstd.
#pragma once

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/environment.h"
#include "operators/sinks/file_sink.h"
#include "tests/operators/sink_under_test.h"
#include "tests/support/unsynced_disk.h"

namespace weir::testing {

// Threads that only run when the test says so.
class ManualPool final : public IoPool {
 public:
  void Submit(std::function<void()> work) override {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  // Runs what is queued, and what that queues; how much it was.
  size_t RunAll() {
    size_t n = 0;
    for (;; ++n) {
      std::function<void()> work;
      {
        std::lock_guard lock(mutex_);
        if (queue_.empty()) return n;
        work = std::move(queue_.front());
        queue_.pop_front();
      }
      work();
    }
  }

 private:
  std::mutex mutex_;
  std::deque<std::function<void()>> queue_;
};

// Without syncs, which cost milliseconds each and which no test can see the effect of.
inline Disk& TestDisk() {
  static UnsyncedDisk* disk = new UnsyncedDisk(RealEnvironment().disk);
  return *disk;
}

// The process's own environment on TestDisk().
inline Environment& TestEnvironment() {
  static Environment* env = new Environment{RealEnvironment().clock, TestDisk(),
                                            RealEnvironment().io, RealEnvironment().random};
  return *env;
}

// Two threads of a test's own. The destructor runs what is queued and joins them.
class TestPool final : public IoPool {
 public:
  TestPool() {
    for (std::thread& thread : threads_) thread = std::thread([this] { Run(); });
  }
  ~TestPool() override {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void Submit(std::function<void()> work) override {
    {
      std::lock_guard lock(mutex_);
      queue_.push_back(std::move(work));
    }
    changed_.notify_all();
  }
  // Returns once nothing is queued and nothing runs.
  void WaitUntilIdle() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return queue_.empty() && running_ == 0; });
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ending_ || !queue_.empty(); });
      if (queue_.empty()) return;
      std::function<void()> work = std::move(queue_.front());
      queue_.pop_front();
      ++running_;
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
      --running_;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;  // guarded by mutex_
  int running_ = 0;                          // guarded by mutex_
  bool ending_ = false;                      // guarded by mutex_
  std::thread threads_[2];
};

using RoutedLine = std::pair<std::string, std::string>;  // route, payload

inline BatchPtr EventBatch(const std::vector<RoutedLine>& lines, Timestamp time = 7) {
  std::string text;
  for (const auto& [route, payload] : lines) text += route + payload;
  SlabPtr slab = CopyToSlab(text);
  auto batch = std::make_unique<Batch<Event>>();
  size_t at = 0;
  for (const auto& [route, payload] : lines) {
    Event event;
    event.route = slab->view().substr(at, route.size());
    event.payload = slab->view().substr(at + route.size(), payload.size());
    at += route.size() + payload.size();
    batch->Add(event, time);
  }
  batch->slabs().Add(slab);
  return batch;
}

// One instance of a file sink for events.
class SinkInstance : public SinkUnderTest<FileSink> {
 public:
  SinkInstance(FileSinkOptions options, Environment& env, SinkPlace place = {})
      : SinkUnderTest(env, place, std::move(options), std::make_unique<EventLines>()) {}

  // Writes and waits as long as the sink is blocked.
  Status Write(const std::vector<RoutedLine>& lines, Timestamp time = 7) {
    return SinkUnderTest::Write(EventBatch(lines, time));
  }
};

inline std::string Gunzip(const std::string& bytes) {
  std::string text;
  std::string buffer(1 << 16, '\0');
  z_stream stream = {};
  WEIR_CHECK(inflateInit2(&stream, 15 + 16) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  while (stream.avail_in > 0) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    const int result = inflate(&stream, Z_NO_FLUSH);
    WEIR_CHECK(result == Z_OK || result == Z_STREAM_END);
    text.append(buffer.data(), buffer.size() - stream.avail_out);
    if (result == Z_STREAM_END) {
      inflateReset(&stream);  // the next member
    } else {
      WEIR_CHECK(stream.avail_in > 0 || stream.avail_out == 0);  // the last member is whole
    }
  }
  inflateEnd(&stream);
  return text;
}

// A part's text, by the ending of its name.
inline std::string Decompress(const std::string& path) {
  const std::string bytes = *ReadFile(RealEnvironment().disk, path);
  if (path.ends_with(".jsonl")) return bytes;
  if (path.ends_with(".gz")) return Gunzip(bytes);
  std::string text;
  std::string buffer(1 << 16, '\0');
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(),
                                                                  ZSTD_freeDStream);
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  size_t result = 0;
  while (in.pos < in.size) {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    result = ZSTD_decompressStream(stream.get(), &out, &in);
    WEIR_CHECK(!ZSTD_isError(result));
    text.append(buffer.data(), out.pos);
  }
  WEIR_CHECK(result == 0);  // the last frame is whole
  return text;
}

inline std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = text.find('\n', at);
    WEIR_CHECK(end != std::string::npos);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// All files below a folder, relative to it, sorted.
inline std::vector<std::string> FilesBelow(const std::string& folder) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) {
      files.push_back(entry.path().lexically_relative(folder).string());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// What a reader sees: the lines of committed parts, by folder, sorted.
inline std::map<std::string, std::vector<std::string>> Committed(const std::string& folder) {
  std::map<std::string, std::vector<std::string>> partitions;
  for (const std::string& file : FilesBelow(folder)) {
    const std::filesystem::path path(file);
    const std::string name = path.filename().string();
    if (!name.starts_with("part-") || name.ends_with(".pending")) continue;
    if (file.find(".revoked/") != std::string::npos) continue;
    auto& lines = partitions[path.parent_path().string()];
    for (std::string& line : Lines(Decompress(folder + "/" + file))) lines.push_back(line);
  }
  for (auto& [partition, lines] : partitions) std::sort(lines.begin(), lines.end());
  return partitions;
}

}  // namespace weir::testing
