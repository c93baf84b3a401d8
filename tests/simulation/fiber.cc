#include "tests/simulation/fiber.h"

#include <utility>
#include <vector>

#include "core/check.h"

namespace weir::simulation {
namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr size_t kSpareStacksMax = 16;

Fiber* current = nullptr;
std::vector<std::unique_ptr<char[]>> spare_stacks;

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
  WEIR_CHECK(swapcontext(&resumer_, &own_) == 0);
  current = nullptr;
}

void Fiber::Pause() {
  WEIR_CHECK(current == this);
  WEIR_CHECK(swapcontext(&own_, &resumer_) == 0);
}

void Fiber::Main() {
  Fiber* fiber = current;
  fiber->run_();
  fiber->run_ = nullptr;
  fiber->done_ = true;
  fiber->Pause();
}

}  // namespace weir::simulation
