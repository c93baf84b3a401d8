#include "runtime/worker/coordinator_link.h"

#include <utility>

namespace weir {

CoordinatorLink::CoordinatorLink(NetworkThread& network, EventLoop& loop, Clock& clock,
                                 Options options,
                                 std::function<void(const runtime::ToExecutor&)> on_message,
                                 std::function<void(const Status&)> ended)
    : network_(network),
      loop_(loop),
      clock_(clock),
      options_(std::move(options)),
      on_message_(std::move(on_message)),
      ended_(std::move(ended)) {}

void CoordinatorLink::Connect() {
  const uint64_t generation = ++generation_;
  connection_ = Connection::Connect(network_, options_.coordinator, options_.connection);
  connection_->Start({
      .on_frame =
          [this, generation, connection = connection_.get()](Frame frame) {
            auto message = std::make_shared<runtime::ToExecutor>();
            if (frame.kind != FrameKind::kControl ||
                !message->ParseFromArray(frame.bytes().data(),
                                         static_cast<int>(frame.bytes().size()))) {
              return connection->Close(absl::DataLossError("not a message of a coordinator"));
            }
            loop_.Post([this, generation, message] {
              if (generation != generation_) return;
              lost_at_ = 0;
              on_message_(*message);
            });
          },
      .on_closed =
          [this, generation](const Status& why) {
            if (why.ok() || options_.away_max == 0) return ended_(why);
            loop_.Post([this, generation, why] { OnClosed(generation, why); });
          },
  });
  connection_->Send(FrameKind::kControl, 0, options_.hello.SerializeAsString());
}

void CoordinatorLink::OnClosed(uint64_t generation, const Status& why) {
  if (generation != generation_) return;
  connection_.reset();
  const int64_t now = clock_.MonotonicMicros();
  if (lost_at_ == 0) lost_at_ = now;
  // What was to be said last has not arrived, and nobody will ask: the attempt is over here.
  if (shut_down_ || now - lost_at_ > options_.away_max) return ended_(why);
  connect_at_ = now + limits::kReconnectInterval;
}

void CoordinatorLink::Send(const runtime::ToCoordinator& message) {
  if (connection_ == nullptr) return;
  connection_->Send(FrameKind::kControl, 0, message.SerializeAsString());
}

void CoordinatorLink::Shutdown() {
  shut_down_ = true;
  if (connection_ == nullptr) return ended_(absl::OkStatus());
  connection_->Shutdown();
}

int64_t CoordinatorLink::Tick(int64_t now_micros) {
  if (connection_ == nullptr && now_micros >= connect_at_) Connect();
  return now_micros + limits::kReconnectInterval;
}

}  // namespace weir
