// World: virtual time and everything that is to happen in it, from one seed.
//
// What happens is an event, a function at a time; events of one time run in the order in which they
// were added. Code that runs takes time: each look at the clock is a microsecond. All that is left
// to chance comes from one generator, so a seed stands for one history, and the trace is a hash of
// it: of every event, message and access to a disk. Used by one thread.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "core/environment.h"
#include "core/time.h"

namespace weir::simulation {

// xoshiro256++: fast, and the same on every machine.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed);
  uint64_t Next() override;
  // At least 0 and below `end`.
  uint64_t Below(uint64_t end) { return end == 0 ? 0 : Next() % end; }
  int64_t Between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(Below(static_cast<uint64_t>(most - least + 1)));
  }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  bool Chance(double probability) {
    return static_cast<double>(Next() >> 11) * 0x1.0p-53 < probability;
  }
  // Mostly short, sometimes a hundred times as long.
  int64_t Delay(int64_t typical);

 private:
  uint64_t state_[4];
};

// Where an event happens; it may pass the event over, or keep it for later.
class Place {
 public:
  virtual ~Place() = default;
  virtual void Happen(std::function<void()> event) = 0;
};

class World {
 public:
  explicit World(uint64_t seed) : random_(seed) {}

  int64_t now() const { return now_; }  // microseconds since the world began, and then some
  int64_t Tick() { return ++now_; }     // somebody looks at the clock
  SeededRandom& random() { return random_; }

  // place: outlives the event; null: nowhere in particular.
  void At(int64_t time, std::function<void()> event, Place* place = nullptr);
  void After(int64_t delay, std::function<void()> event) { At(now_ + delay, std::move(event)); }
  // The next event; false: there is none.
  bool RunOne();
  uint64_t events() const { return events_; }

  // What happened goes into the trace.
  void Trace(std::string_view what, uint64_t a = 0, uint64_t b = 0);
  uint64_t trace() const { return trace_; }

  // For people who replay a seed; empty: nothing is told.
  std::function<void(const std::string& line)> tell;
  template <class... Args>
  void Tell(fmt::format_string<Args...> format, Args&&... args) {
    if (tell) {
      tell(fmt::format("{:>12.6f} ", now_ / 1e6) +
           fmt::format(format, std::forward<Args>(args)...));
    }
  }

 private:
  struct Event {
    int64_t time;
    uint64_t order;
    Place* place;
    std::function<void()> run;
    bool operator<(const Event& other) const {  // the earliest is the greatest
      return time != other.time ? time > other.time : order > other.order;
    }
  };

  SeededRandom random_;
  int64_t now_ = Seconds(1000);
  uint64_t order_ = 0;
  uint64_t events_ = 0;
  uint64_t trace_ = 0;
  std::vector<Event> queue_;  // a heap
};

}  // namespace weir::simulation
