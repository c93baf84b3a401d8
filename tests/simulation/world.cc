#include "tests/simulation/world.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/hash.h"

namespace weir::simulation {

SeededRandom::SeededRandom(uint64_t seed) {
  for (uint64_t& state : state_) {  // splitmix64
    uint64_t z = (seed += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    state = z ^ (z >> 31);
  }
}

uint64_t SeededRandom::Next() {
  const uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

int64_t SeededRandom::Delay(int64_t typical) {
  const int64_t most = OneIn(50) ? typical * 100 : typical * 2;
  return Between(1, std::max<int64_t>(1, most));
}

void World::At(int64_t time, std::function<void()> event, Place* place) {
  queue_.push_back({std::max(time, now_), ++order_, place, std::move(event)});
  std::push_heap(queue_.begin(), queue_.end());
}

bool World::RunOne() {
  if (queue_.empty()) return false;
  std::pop_heap(queue_.begin(), queue_.end());
  Event event = std::move(queue_.back());
  queue_.pop_back();
  now_ = std::max(now_, event.time);
  ++events_;
  Trace("event", static_cast<uint64_t>(now_), event.order);
  if (event.place != nullptr) {
    event.place->Happen(std::move(event.run));
  } else {
    event.run();
  }
  return true;
}

void World::Trace(std::string_view what, uint64_t a, uint64_t b) {
  for (const uint64_t word : {Hash64(what), a, b}) {
    trace_ = std::rotl((trace_ ^ word) * 0x9E3779B97F4A7C15u, 29);
  }
}

}  // namespace weir::simulation
