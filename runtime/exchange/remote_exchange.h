// RemoteExchange: the channels of one executor that lead to or come from other executors.
//
// Both ends of such a channel are ordinary Channels, so that tasks know nothing of it:
//
//   task -> Channel A -> pump ==frames==> RemoteExchange of the peer -> Channel B -> task
//
// Flow control. B's side grants credit in bytes: at first B's window, then what its receiver has
// taken, not in crumbs, as far as B's window (channel.h) reaches; A's window is the last such part.
// The pump takes a batch from A only while it has sent less than was granted; the last one may
// exceed it, so that a row of any size passes (A's sender cuts batches to A's credit, see
// channel.h). A batch is charged what it will take at the receiver, by one formula for both sides
// (ChargeOf in the .cc). So A holds at most its capacity and a batch, and B, the wire and the
// connection's queue together hold at most B's capacity and a batch. Control items need no credit
// and overtake nothing. A limit that B's receiver sets for watermarks is set for A's sender.
//
// A state machine: calls in, frames out through Options::send, no socket, thread or clock. It is
// driven on one thread, in an executor the network thread, so that rows are decoded where they were
// read: all calls come from it, also the destructor's; only channels may be added from another one,
// before Start() and the first frame. The wake-ups of tasks come from their own threads and are
// posted (Options::post), many as one.
//
// Order: AddOutgoing/AddIncoming for all channels; Start() when all peers have added theirs (they
// may have started earlier or later); OnFrame at any time after the channels were added. The
// channels outlive it where tasks still hold them; then nothing moves any more.
//
// What a peer must not send (a channel that is unknown or is another peer's, the wrong direction,
// more than was granted, rows behind the end, bytes that cannot be decoded) is a failure of the
// attempt: DataLoss, told once; everything after it is ignored.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/row_codec.h"
#include "runtime/exchange/channel.h"
#include "runtime/net/frame.h"

namespace weir {

// Names a channel within an attempt, from one task to one other task. Both executors number alike,
// since they lay out the same plan.
using ChannelId = uint32_t;

class RemoteExchange {
 public:
  struct Options {
    // To the executor `peer`; keeps the order. Called on the driving thread. (PeerMesh::Send)
    std::function<void(int peer, FrameKind kind, uint32_t channel, std::string payload)> send;
    // Runs something on the driving thread, later and never inside the call; from any thread.
    // Functions that still wait when the exchange is gone do nothing. (NetworkThread::Post)
    std::function<void(std::function<void()>)> post;
    // At most once; on the driving thread. May destroy nothing that is being called.
    std::function<void(const Status&)> on_failed;
  };
  explicit RemoteExchange(Options options);
  ~RemoteExchange();

  // Channel A, for a task of this executor that sends to one at `peer`; the codec is the edge's.
  std::shared_ptr<Channel> AddOutgoing(int peer, ChannelId id,
                                       std::shared_ptr<const RowCodec> codec, size_t capacity_bytes,
                                       std::function<void()> wake_sender);
  // Channel B, for a task of this executor that receives from one at `peer`.
  std::shared_ptr<Channel> AddIncoming(int peer, ChannelId id,
                                       std::shared_ptr<const RowCodec> codec, size_t capacity_bytes,
                                       std::function<void()> wake_receiver);

  void Start();
  void OnFrame(int peer, const Frame& frame);

 private:
  struct Outgoing;
  struct Incoming;
  struct Wakes;

  void RunWakes();
  void Pump(Outgoing& out);
  void Answer(Incoming& in);
  Status Handle(int peer, const Frame& frame);
  Status TakeItem(Incoming& in, const Frame& frame);
  Status TakeAnswer(Outgoing& out, const Frame& frame);
  void Fail(const Status& status);

  const Options options_;
  std::shared_ptr<Wakes> wakes_;
  std::unordered_map<ChannelId, std::unique_ptr<Outgoing>> outgoing_;
  std::unordered_map<ChannelId, std::unique_ptr<Incoming>> incoming_;
  bool started_ = false;
  bool failed_ = false;
};

}  // namespace weir
