#include "runtime/exchange/remote_exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "core/check.h"
#include "core/codec.h"
#include "core/limits.h"

namespace weir {
namespace {

// What a batch will take where it is received: its rows and columns, and the bytes they were
// decoded from. Both sides know it without being told.
size_t ChargeOf(const BatchBase& batch, size_t encoded_bytes) {
  return batch.rows() * (batch.row_bytes() + 16) + encoded_bytes;
}

std::string Encode(const Watermark& watermark) {
  std::string out;
  PutSigned(watermark.time, out);
  out.push_back(watermark.idle ? 1 : 0);
  return out;
}

std::string Encode(const Barrier& barrier) {
  std::string out;
  PutVarint(barrier.checkpoint, out);
  PutVarint(static_cast<uint64_t>(barrier.kind), out);
  PutVarint(barrier.resources, out);
  return out;
}

std::string Encode(uint64_t number) {
  std::string out;
  PutVarint(number, out);
  return out;
}

bool Decode(std::string_view bytes, Watermark& watermark) {
  ByteReader in(bytes);
  uint64_t idle;
  if (!in.Signed(watermark.time) || !in.Varint(idle) || idle > 1) return false;
  watermark.idle = idle == 1;
  return in.done();
}

bool Decode(std::string_view bytes, Barrier& barrier) {
  ByteReader in(bytes);
  uint64_t kind;
  if (!in.Varint(barrier.checkpoint) || !in.Varint(kind) || !in.Varint(barrier.resources)) {
    return false;
  }
  if (kind < static_cast<uint64_t>(BarrierKind::kCheckpoint) ||
      kind > static_cast<uint64_t>(BarrierKind::kFinal)) {
    return false;
  }
  barrier.kind = static_cast<BarrierKind>(kind);
  return in.done();
}

Status Undecodable(std::string_view what) {
  return absl::DataLossError(fmt::format("the bytes are not {}", what));
}

bool ToReceiver(FrameKind kind) {
  return kind == FrameKind::kRows || kind == FrameKind::kWatermark || kind == FrameKind::kBarrier ||
         kind == FrameKind::kEndOfInput;
}

bool ToSender(FrameKind kind) {
  return kind == FrameKind::kCredit || kind == FrameKind::kWatermarkLimit;
}

}  // namespace

struct RemoteExchange::Outgoing {
  int peer;
  ChannelId id;
  std::shared_ptr<const RowCodec> codec;
  std::shared_ptr<Channel> channel;
  // Bytes as charged since the attempt began.
  uint64_t granted = 0;
  uint64_t sent = 0;
};

struct RemoteExchange::Incoming {
  int peer;
  ChannelId id;
  std::shared_ptr<const RowCodec> codec;
  std::shared_ptr<Channel> channel;
  uint64_t granted = 0;
  uint64_t received = 0;
  Timestamp told_limit = kMaxTimestamp;
  bool ended = false;
};

// Held by the channels' wakes, which may outlive the exchange.
struct RemoteExchange::Wakes {
  struct End {
    bool incoming;
    ChannelId id;
    bool queued = false;  // guarded by mutex
  };

  static std::function<void()> Of(std::shared_ptr<Wakes> wakes, bool incoming, ChannelId id) {
    auto end = std::make_shared<End>(End{incoming, id});
    return [wakes = std::move(wakes), end = std::move(end)] {
      std::lock_guard lock(wakes->mutex);
      if (end->queued || !wakes->post) return;
      end->queued = true;
      wakes->ready.push_back(end);
      if (wakes->ready.size() > 1) return;
      wakes->post([wakes] {
        if (wakes->exchange != nullptr) wakes->exchange->RunWakes();
      });
    };
  }

  std::mutex mutex;
  std::function<void(std::function<void()>)> post;  // guarded by mutex; empty: the exchange is gone
  std::vector<std::shared_ptr<End>> ready;          // guarded by mutex
  RemoteExchange* exchange = nullptr;               // of the driving thread
};

RemoteExchange::RemoteExchange(Options options)
    : options_(std::move(options)), wakes_(std::make_shared<Wakes>()) {
  wakes_->post = options_.post;
  wakes_->exchange = this;
}

RemoteExchange::~RemoteExchange() {
  wakes_->exchange = nullptr;
  std::lock_guard lock(wakes_->mutex);
  wakes_->post = nullptr;
  wakes_->ready.clear();
}

std::shared_ptr<Channel> RemoteExchange::AddOutgoing(int peer, ChannelId id,
                                                     std::shared_ptr<const RowCodec> codec,
                                                     size_t capacity_bytes,
                                                     std::function<void()> wake_sender) {
  WEIR_CHECK(!started_ && !incoming_.contains(id));
  auto channel = std::make_shared<Channel>(
      capacity_bytes, Wakes::Of(wakes_, /*incoming=*/false, id), std::move(wake_sender));
  auto out = std::make_unique<Outgoing>(Outgoing{peer, id, std::move(codec), channel});
  WEIR_CHECK(outgoing_.emplace(id, std::move(out)).second);
  return channel;
}

std::shared_ptr<Channel> RemoteExchange::AddIncoming(int peer, ChannelId id,
                                                     std::shared_ptr<const RowCodec> codec,
                                                     size_t capacity_bytes,
                                                     std::function<void()> wake_receiver) {
  WEIR_CHECK(!started_ && !outgoing_.contains(id));
  auto channel = std::make_shared<Channel>(capacity_bytes, std::move(wake_receiver),
                                           Wakes::Of(wakes_, /*incoming=*/true, id),
                                           limits::kCreditReturnParts);
  auto in = std::make_unique<Incoming>(Incoming{peer, id, std::move(codec), channel});
  WEIR_CHECK(incoming_.emplace(id, std::move(in)).second);
  return channel;
}

void RemoteExchange::Start() {
  WEIR_CHECK(!started_);
  started_ = true;
  for (auto& [id, in] : incoming_) Answer(*in);
  for (auto& [id, out] : outgoing_) Pump(*out);
}

void RemoteExchange::RunWakes() {
  std::vector<std::shared_ptr<Wakes::End>> ready;
  {
    std::lock_guard lock(wakes_->mutex);
    ready.swap(wakes_->ready);
    for (const auto& end : ready) end->queued = false;
  }
  for (const auto& end : ready) {
    if (end->incoming) {
      Answer(*incoming_.at(end->id));
    } else {
      Pump(*outgoing_.at(end->id));
    }
  }
}

// Sends what the channel holds, batches as far as the credit reaches.
void RemoteExchange::Pump(Outgoing& out) {
  if (!started_) return;
  while (!failed_) {
    std::optional<ChannelItem> item =
        out.sent < out.granted ? out.channel->Receive() : out.channel->ReceiveControl();
    if (!item) return;
    if (const BatchPtr* batch = std::get_if<BatchPtr>(&*item)) {
      std::string payload;
      out.codec->EncodeBatch(**batch, payload);
      if (payload.size() > limits::kFrameBytesMax) {
        return Fail(absl::InvalidArgumentError(fmt::format(
            "a batch of {} rows for executor {} takes {} when it is encoded; at most {} can be "
            "sent",
            (*batch)->rows(), out.peer, FormatSize(payload.size()),
            FormatSize(limits::kFrameBytesMax))));
      }
      out.sent += ChargeOf(**batch, payload.size());
      options_.send(out.peer, FrameKind::kRows, out.id, std::move(payload));
    } else if (const Watermark* watermark = std::get_if<Watermark>(&*item)) {
      options_.send(out.peer, FrameKind::kWatermark, out.id, Encode(*watermark));
    } else if (const Barrier* barrier = std::get_if<Barrier>(&*item)) {
      options_.send(out.peer, FrameKind::kBarrier, out.id, Encode(*barrier));
    } else {
      options_.send(out.peer, FrameKind::kEndOfInput, out.id, "");
    }
  }
}

// Tells the sender what the receiver has taken, and its watermark limit.
void RemoteExchange::Answer(Incoming& in) {
  if (!started_ || failed_) return;
  const uint64_t taken = in.received - in.channel->queued_bytes();
  const size_t window = in.channel->window_bytes();
  const uint64_t grant = window + taken;
  // Less than before where the window has shrunk; what was granted stays.
  if (grant >= in.granted + std::max<size_t>(1, window / limits::kCreditReturnParts)) {
    in.granted = grant;
    options_.send(in.peer, FrameKind::kCredit, in.id, Encode(grant));
  }
  const Timestamp limit = in.channel->watermark_limit();
  if (limit != in.told_limit) {
    in.told_limit = limit;
    std::string payload;
    PutSigned(limit, payload);
    options_.send(in.peer, FrameKind::kWatermarkLimit, in.id, std::move(payload));
  }
}

void RemoteExchange::OnFrame(int peer, const Frame& frame) {
  if (failed_) return;
  if (Status status = Handle(peer, frame); !status.ok()) {
    Fail(
        Annotate(status, fmt::format("what executor {} sent for channel {}", peer, frame.channel)));
  }
}

Status RemoteExchange::Handle(int peer, const Frame& frame) {
  if (!ToReceiver(frame.kind) && !ToSender(frame.kind)) {
    return absl::DataLossError(fmt::format("a frame of kind {} does not belong to a channel",
                                           static_cast<int>(frame.kind)));
  }
  const auto in = incoming_.find(frame.channel);
  const auto out = outgoing_.find(frame.channel);
  const bool is_in = in != incoming_.end() && in->second->peer == peer;
  const bool is_out = out != outgoing_.end() && out->second->peer == peer;
  if (!is_in && !is_out) return absl::DataLossError("there is no such channel with it");
  if (is_in != ToReceiver(frame.kind)) {
    return absl::DataLossError(fmt::format(
        "a frame of kind {} came against the channel's direction", static_cast<int>(frame.kind)));
  }
  return is_in ? TakeItem(*in->second, frame) : TakeAnswer(*out->second, frame);
}

Status RemoteExchange::TakeItem(Incoming& in, const Frame& frame) {
  if (in.ended && frame.kind != FrameKind::kBarrier) {
    return absl::DataLossError("only barriers may follow the end of the input");
  }
  switch (frame.kind) {
    case FrameKind::kRows: {
      if (in.received >= in.granted) {
        return absl::DataLossError(
            fmt::format("rows came beyond the credit of {} bytes", in.granted));
      }
      StatusOr<BatchPtr> batch = in.codec->DecodeBatch(frame.payload);
      if (!batch.ok()) return absl::DataLossError(batch.status().message());
      const size_t charge = ChargeOf(**batch, frame.bytes().size());
      in.received += charge;
      in.channel->SendCharged(*std::move(batch), charge);
      return absl::OkStatus();
    }
    case FrameKind::kWatermark: {
      Watermark watermark;
      if (!Decode(frame.bytes(), watermark)) return Undecodable("a watermark");
      in.channel->Send(watermark);
      return absl::OkStatus();
    }
    case FrameKind::kBarrier: {
      Barrier barrier;
      if (!Decode(frame.bytes(), barrier)) return Undecodable("a barrier");
      in.channel->Send(barrier);
      return absl::OkStatus();
    }
    default:
      if (!frame.bytes().empty()) return Undecodable("the end of the input");
      in.ended = true;
      in.channel->Send(EndOfInput{});
      return absl::OkStatus();
  }
}

Status RemoteExchange::TakeAnswer(Outgoing& out, const Frame& frame) {
  ByteReader reader(frame.bytes());
  if (frame.kind == FrameKind::kCredit) {
    uint64_t granted;
    if (!reader.Varint(granted) || !reader.done()) return Undecodable("a credit");
    if (granted < out.granted) {
      return absl::DataLossError(
          fmt::format("a credit of {} bytes takes back one of {}", granted, out.granted));
    }
    // Credit comes back in parts of the receiver's window. What waits here is in front of a barrier
    // beside what waits there, and need be no more than the next part.
    const uint64_t part = granted - out.granted;
    out.channel->set_window_bytes(std::max<uint64_t>(limits::kWindowBytesMin, part));
    out.granted = granted;
    Pump(out);
    return absl::OkStatus();
  }
  Timestamp limit;
  if (!reader.Signed(limit) || !reader.done()) return Undecodable("a watermark limit");
  out.channel->set_watermark_limit(limit);
  return absl::OkStatus();
}

void RemoteExchange::Fail(const Status& status) {
  failed_ = true;
  options_.on_failed(status);
}

}  // namespace weir
