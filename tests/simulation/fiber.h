// Fiber: a function with a stack of its own, which can pause and be gone on with. In it runs what
// blocks, so that others run while it waits for the disk. Used by one thread. Sanitizers do not
// know of these stacks, so the simulation is built without them.
#pragma once

#include <ucontext.h>

#include <functional>
#include <memory>

namespace weir::simulation {

class Fiber {
 public:
  explicit Fiber(std::function<void()> run);
  ~Fiber();  // REQUIRES: done()
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Runs until it pauses or has ended. Not inside a fiber.
  void Resume();
  bool done() const { return done_; }

  // Of the fiber that runs; null: none does.
  static Fiber* Current();
  void Pause();  // inside it

 private:
  static void Main();

  std::function<void()> run_;
  std::unique_ptr<char[]> stack_;
  ucontext_t own_;
  ucontext_t resumer_;
  bool done_ = false;
};

}  // namespace weir::simulation
