// SimProcess: what a process of the simulated cluster is to its code: an Environment, an event
// loop, an I/O pool, and the ways in which it can end.
//
// Its events run on the world's time line, none of them once it is dead; while it is stopped they
// wait, and come one after another when it goes on, as after SIGSTOP and SIGCONT. Work for the I/O
// pool runs in a fiber, one piece at a time, and may pause in front of each access to the disk, so
// that other processes come between. An access may fail, and a process may die at any of them: then
// the access and all later ones do nothing. Used by one thread; lives as long as the world does.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "runtime/event_loop.h"
#include "tests/simulation/fiber.h"
#include "tests/simulation/sim_disk.h"
#include "tests/simulation/world.h"

namespace weir::simulation {

// What is wrong with the disk, for all processes alike.
struct DiskTrouble {
  int64_t full_until = 0;  // writes fail until then, by World::now()
  int64_t slow_until = 0;
  int errors_left = 0;  // so many accesses fail, some way apart
};

class SimProcess final : public EventQueue, private Place {
 public:
  SimProcess(World& world, SimDisk& disk, DiskTrouble& trouble, std::string name);
  ~SimProcess() override;

  const std::string& name() const { return name_; }
  bool alive() const { return alive_; }
  bool stopped() const { return alive_ && world_.now() < stopped_until_; }
  Environment& env();
  World& world() { return world_; }

  // Runs in this process, if it is alive then.
  void At(int64_t time, std::function<void()> event);
  void After(int64_t delay, std::function<void()> event) {
    At(world_.now() + delay * slowness_, std::move(event));
  }
  void Post(std::function<void()> work) override;  // EventQueue

  // At once, outside of all its calls.
  void End();
  // Faults. What is on the way to the disk may come there or not; nothing else is left.
  void Kill();
  // `strike` runs in front of the n-th access to the disk from now on.
  void StrikeAtAccess(uint64_t n, std::function<void(SimProcess&)> strike) {
    accesses_to_strike_ = n;
    strike_ = std::move(strike);
  }
  void StopFor(int64_t micros);
  void set_slowness(int64_t factor) { slowness_ = factor; }
  void JumpClock(Duration by);

  // Called once, after its death, outside of all its calls: destroys what lives in the process.
  std::function<void()> on_gone;

  // Runs one piece of what the I/O pool has to do at once, or the rest of it; false: there is none.
  bool HelpIo();

 private:
  class Clock;
  class DiskView;
  class Pool;
  struct Parts;

  void Happen(std::function<void()> event) override;
  // In front of an access to the disk; an error happens in its place.
  Status Access(std::string_view action, const std::string& path, bool writes);
  void SubmitIo(std::function<void()> work);
  void StartIo();
  void GoOnWithIo();

  World& world_;
  SimDisk& disk_;
  DiskTrouble& trouble_;
  const std::string name_;
  bool alive_ = true;
  int64_t stopped_until_ = 0;
  int64_t slowness_ = 1;
  std::deque<std::function<void()>> waiting_;  // events of a stopped process
  int64_t posted_until_ = 0;                   // so that posts keep their order
  uint64_t accesses_to_strike_ = 0;
  std::function<void(SimProcess&)> strike_;
  Duration clock_offset_ = 0;

  std::deque<std::function<void()>> io_;
  std::unique_ptr<Fiber> io_running_;
  bool io_due_ = false;   // an event will go on with it
  bool helping_ = false;  // no pauses

  std::unique_ptr<Parts> parts_;
};

}  // namespace weir::simulation
