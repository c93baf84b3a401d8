#include "state/id_loader.h"

#include <utility>

#include "core/check.h"

namespace weir {

// Of one slice; owned by the loader and by the piece of work that reads. The work's until it is
// `ready`, then the task's until the next piece is submitted.
struct IdLoader::Reading {
  int64_t slice = 0;
  std::unique_ptr<IdFiles::SliceReader> reader;
  std::vector<Fingerprint> ids;
  bool last = false;
  Status status;
  std::atomic<bool> ready = false;
};

IdLoader::IdLoader(IdFiles& files, IoPool& io, std::function<void()> notify)
    : files_(files), notify_(std::move(notify)), io_(io) {}

IdLoader::~IdLoader() = default;

void IdLoader::Begin(std::vector<int64_t> slices) {
  WEIR_CHECK(idle());
  slices_ = std::move(slices);
  if (!idle()) ReadOn();
}

void IdLoader::ReadOn() {
  if (reading_ == nullptr) {
    reading_ = std::make_shared<Reading>();
    reading_->slice = slices_.front();
    reading_->reader = files_.ReadSlice(slices_.front());
  }
  reading_->ready.store(false, std::memory_order_relaxed);
  io_.Submit([reading = reading_, notify = notify_] {
    reading->ids.clear();
    const StatusOr<bool> more = reading->reader->Read(kIdsAtOnce, reading->ids);
    reading->status = more.status();
    reading->last = !more.ok() || !*more;
    reading->ready.store(true, std::memory_order_release);
    if (notify) notify();
  });
}

StatusOr<const IdLoader::Chunk*> IdLoader::Next() {
  if (reading_ == nullptr || !reading_->ready.load(std::memory_order_acquire)) return nullptr;
  WEIR_RETURN_IF_ERROR(reading_->status);
  chunk_.slice = reading_->slice;
  chunk_.last = reading_->last;
  chunk_.ids.swap(reading_->ids);
  if (chunk_.last) {
    slices_.erase(slices_.begin());
    reading_.reset();
  }
  if (!idle()) ReadOn();
  return &chunk_;
}

// What is being read of a slice that was left out goes when the work is done with it.
void IdLoader::Drop(int64_t below) {
  std::erase_if(slices_, [below](int64_t slice) { return slice < below; });
  if (reading_ == nullptr || reading_->slice >= below) return;
  reading_.reset();
  if (!idle()) ReadOn();
}

void IdLoader::Stop() {
  slices_.clear();
  reading_.reset();
  chunk_ = Chunk();
}

size_t IdLoader::memory_bytes() const { return idle() ? 0 : 2 * kIdsAtOnce * sizeof(Fingerprint); }

}  // namespace weir
