#include "tests/simulation/fiber.h"

#include <utility>
#include <vector>

#include "core/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace weir::simulation {
namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr size_t kSpareStacksMax = 16;

Fiber* current = nullptr;
std::vector<std::unique_ptr<char[]>> spare_stacks;

// A sanitizer has to know which stack is in use.
#if defined(__SANITIZE_ADDRESS__)
const void* resumer_stack = nullptr;
size_t resumer_bytes = 0;
void Leave(const void* to, size_t bytes, bool for_good) {
  static void* kept;
  __sanitizer_start_switch_fiber(for_good ? nullptr : &kept, to, bytes);
}
void Arrive(const void** from, size_t* bytes) {
  __sanitizer_finish_switch_fiber(nullptr, from, bytes);
}
#else
void Leave(const void*, size_t, bool) {}
void Arrive(const void**, size_t*) {}
const void* resumer_stack = nullptr;
size_t resumer_bytes = 0;
#endif

}  // namespace

Fiber::Fiber(std::function<void()> run) : run_(std::move(run)) {
  if (spare_stacks.empty()) {
    stack_.reset(new char[kStackBytes]);
  } else {
    stack_ = std::move(spare_stacks.back());
    spare_stacks.pop_back();
  }
  WEIR_CHECK(getcontext(&own_) == 0);
  own_.uc_stack.ss_sp = stack_.get();
  own_.uc_stack.ss_size = kStackBytes;
  own_.uc_link = nullptr;
  makecontext(&own_, &Fiber::Main, 0);
}

Fiber::~Fiber() {
  WEIR_CHECK(done_);
  if (spare_stacks.size() < kSpareStacksMax) spare_stacks.push_back(std::move(stack_));
}

Fiber* Fiber::Current() { return current; }

void Fiber::Resume() {
  WEIR_CHECK(current == nullptr && !done_);
  current = this;
  Leave(stack_.get(), kStackBytes, false);
  WEIR_CHECK(swapcontext(&resumer_, &own_) == 0);
  Arrive(nullptr, nullptr);
  current = nullptr;
}

void Fiber::Pause() {
  WEIR_CHECK(current == this);
  Leave(resumer_stack, resumer_bytes, done_);
  WEIR_CHECK(swapcontext(&own_, &resumer_) == 0);
  Arrive(&resumer_stack, &resumer_bytes);
}

void Fiber::Main() {
  Arrive(&resumer_stack, &resumer_bytes);
  Fiber* fiber = current;
  fiber->run_();
  fiber->run_ = nullptr;
  fiber->done_ = true;
  fiber->Pause();
}

}  // namespace weir::simulation
