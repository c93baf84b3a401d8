// RemoteExchange on frames of a peer that sends what it likes: it fails once and then does nothing,
// and never holds more than was granted and one batch.
#include <boost/describe/class.hpp>
#include <deque>
#include <string>

#include "core/check.h"
#include "runtime/exchange/remote_exchange.h"
#include "tests/fuzz/fuzz_input.h"

namespace weir {
namespace {

constexpr size_t kCapacity = 4096;
constexpr FrameKind kKinds[] = {
    FrameKind::kRows,   FrameKind::kWatermark,      FrameKind::kBarrier, FrameKind::kEndOfInput,
    FrameKind::kCredit, FrameKind::kWatermarkLimit, FrameKind::kControl, FrameKind::kHeartbeat};

struct Row {
  std::string_view key;
  std::optional<int64_t> count;
  std::vector<std::string_view> tags;
  BOOST_DESCRIBE_CLASS(Row, (), (key, count, tags), (), ())
};

BatchPtr MakeRow() {
  auto batch = std::make_unique<Batch<Row>>();
  batch->Add({"key", 1, {}}, 1);
  return batch;
}

// How many rows a frame carries if it carries any, so that what it is charged is known.
size_t RowsOf(const RowCodec& codec, std::string_view bytes) {
  const StatusOr<BatchPtr> batch = codec.DecodeBatch(CopyToSlab(bytes));
  return batch.ok() ? (*batch)->rows() : 0;
}

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;
  testing::FuzzInput input(data, size);
  std::deque<std::function<void()>> posted;
  int failures = 0;
  size_t frames_sent = 0;
  RemoteExchange exchange({
      .send = [&](int, FrameKind, uint32_t, std::string) { ++frames_sent; },
      .post = [&](std::function<void()> work) { posted.push_back(std::move(work)); },
      .on_failed =
          [&](const Status& status) {
            WEIR_CHECK(!status.ok());
            ++failures;
          },
  });
  const auto codec = MakeRowCodec<Row>();
  // Channels 0 and 1 come from peers 0 and 1, channel 2 leads to peer 0.
  const std::shared_ptr<Channel> incoming[] = {
      exchange.AddIncoming(0, 0, codec, kCapacity, [] {}),
      exchange.AddIncoming(1, 1, codec, kCapacity, [] {}),
  };
  const std::shared_ptr<Channel> outgoing = exchange.AddOutgoing(0, 2, codec, kCapacity, [] {});
  exchange.Start();
  size_t batch_bytes_max = 0;
  while (!input.done()) {
    const uint8_t action = input.Byte();
    if (action < 0xc0) {
      const FrameKind kind = kKinds[action % 8];
      const std::string_view payload = input.Piece();
      if (kind == FrameKind::kRows) {
        batch_bytes_max = std::max(batch_bytes_max,
                                   RowsOf(*codec, payload) * (sizeof(Row) + 16) + payload.size());
      }
      const size_t frames_before = frames_sent;
      const bool failed = failures > 0;
      exchange.OnFrame(action / 8 % 2, {kind, action / 16u % 4, CopyToSlab(payload)});
      if (failed) WEIR_CHECK(frames_sent == frames_before);
    } else if (action < 0xe0) {
      incoming[action % 2]->Receive();
    } else if (action < 0xf0) {
      if (outgoing->credit() > 0) outgoing->Send(MakeRow());
    } else {
      while (!posted.empty()) {
        const std::function<void()> work = std::move(posted.front());
        posted.pop_front();
        work();
      }
    }
    for (const auto& channel : incoming) {
      WEIR_CHECK(channel->queued_bytes() <= kCapacity + batch_bytes_max);
    }
    WEIR_CHECK(failures <= 1);
  }
  return 0;
}
