#include "runtime/local_executor.h"

#include <utility>

#include "core/check.h"

namespace weir {
namespace {

// As a connection would carry it: as bytes, and not before the sender has returned.
template <class Message, class Fn>
void Carry(EventLoop& loop, const Message& message, Fn receive) {
  loop.Post([bytes = message.SerializeAsString(), receive] {
    Message received;
    WEIR_CHECK(received.ParseFromString(bytes));
    receive(received);
  });
}

}  // namespace

LocalExecutor::LocalExecutor(const BuiltJob& job, CheckpointStore& store, Environment& env,
                             EventLoop& loop, Executor::Options options, Events events)
    : loop_(loop),
      events_(std::move(events)),
      executor_(
          job, store, env, loop, std::move(options), [this](const runtime::ToCoordinator& message) {
            Carry(loop_, message,
                  [this](const runtime::ToCoordinator& received) { events_.message(0, received); });
          }) {}

void LocalExecutor::Start(uint32_t attempt, int executors) {
  WEIR_CHECK(executors == 1);
  loop_.Post([this, attempt] { events_.started(attempt, {""}); });
}

void LocalExecutor::Send(int, const runtime::ToExecutor& message) {
  Carry(loop_, message,
        [this](const runtime::ToExecutor& received) { executor_.OnMessage(received); });
}

}  // namespace weir
