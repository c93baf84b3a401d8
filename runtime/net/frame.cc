#include "runtime/net/frame.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/hash.h"

namespace weir {
namespace {

constexpr std::string_view kMagic = "WEIR";
constexpr char kTlsHandshake = 0x16;  // how a TLS client begins
constexpr FrameKind kKnownFrameKinds[] = {
    FrameKind::kHeartbeat,  FrameKind::kHello,     FrameKind::kControl,
    FrameKind::kRows,       FrameKind::kWatermark, FrameKind::kBarrier,
    FrameKind::kEndOfInput, FrameKind::kCredit,    FrameKind::kWatermarkLimit,
};
constexpr size_t kCheckedHeaderBytes = 12;

template <class T>
void Put(T value, char* out) {
  for (size_t i = 0; i < sizeof(T); ++i) out[i] = static_cast<char>(value >> (8 * i));
}

template <class T>
T Get(const char* in) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(static_cast<unsigned char>(in[i])) << (8 * i);
  }
  return value;
}

uint32_t HeaderCheck(const char* header) {
  return static_cast<uint32_t>(Hash64({header, kCheckedHeaderBytes}));
}

}  // namespace

std::string EncodePreamble() {
  std::string preamble(kMagic);
  preamble.resize(kPreambleBytes);
  Put(kProtocolVersion, preamble.data() + kMagic.size());
  return preamble;
}

FrameHeader EncodeFrameHeader(FrameKind kind, uint32_t channel, std::string_view payload) {
  WEIR_CHECK(payload.size() <= limits::kFrameBytesMax);
  FrameHeader header;
  Put(static_cast<uint32_t>(payload.size()), header.data());
  Put(channel, header.data() + 4);
  Put(static_cast<uint32_t>(kind), header.data() + 8);
  Put(HeaderCheck(header.data()), header.data() + kCheckedHeaderBytes);
  Put(Hash64(payload), header.data() + 16);
  return header;
}

std::string EncodeFrame(FrameKind kind, uint32_t channel, std::string_view payload) {
  const FrameHeader header = EncodeFrameHeader(kind, channel, payload);
  std::string frame(header.data(), header.size());
  frame.append(payload);
  return frame;
}

FrameDecoder::FrameDecoder(size_t payload_bytes_max) : payload_bytes_max_(payload_bytes_max) {}

std::span<char> FrameDecoder::Room() {
  if (end_ == buffer_.size() && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, unread());
    end_ -= begin_;
    begin_ = 0;
  }
  // What a huge frame needed is given back.
  if (end_ == 0 && buffer_.size() > 4 * limits::kReadChunkBytes) std::string().swap(buffer_);
  if (end_ == buffer_.size()) {
    buffer_.resize(std::max(limits::kReadChunkBytes, 2 * buffer_.size()));
  }
  return {buffer_.data() + end_, buffer_.size() - end_};
}

void FrameDecoder::Written(size_t bytes) {
  WEIR_CHECK(bytes <= buffer_.size() - end_);
  end_ += bytes;
}

void FrameDecoder::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::span<char> room = Room();
    const size_t n = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), n);
    Written(n);
    bytes.remove_prefix(n);
  }
}

void FrameDecoder::Consume(size_t bytes) {
  begin_ += bytes;
  offset_ += bytes;
  if (begin_ == end_) begin_ = end_ = 0;
}

Status FrameDecoder::Fail(Status status) {
  status_ = std::move(status);
  return status_;
}

Status FrameDecoder::ReadPreamble() {
  const std::string_view start(buffer_.data() + begin_, std::min(unread(), kMagic.size()));
  if (start.starts_with(kTlsHandshake)) {
    return absl::DataLossError(
        "it speaks TLS, and this process was not told to: --tls-cert, --tls-key, --tls-ca");
  }
  if (start != kMagic.substr(0, start.size())) {
    return absl::DataLossError("its first bytes are not those of a process of Weir");
  }
  if (unread() < kPreambleBytes) return absl::OkStatus();
  const auto version = Get<uint32_t>(buffer_.data() + begin_ + kMagic.size());
  if (version != kProtocolVersion) {
    return absl::FailedPreconditionError(
        fmt::format("it speaks version {} of the protocol, this process speaks version {}; run the "
                    "same release of weir everywhere",
                    version, kProtocolVersion));
  }
  Consume(kPreambleBytes);
  greeted_ = true;
  return absl::OkStatus();
}

StatusOr<FrameDecoder::Header> FrameDecoder::ReadHeader() const {
  const char* bytes = buffer_.data() + begin_;
  if (Get<uint32_t>(bytes + kCheckedHeaderBytes) != HeaderCheck(bytes)) {
    return absl::DataLossError(
        fmt::format("the header of the frame at byte {} has a wrong checksum", offset_));
  }
  Header header;
  header.bytes = Get<uint32_t>(bytes);
  header.channel = Get<uint32_t>(bytes + 4);
  const auto kind = Get<uint32_t>(bytes + 8);
  header.checksum = Get<uint64_t>(bytes + 16);
  const bool known = std::any_of(std::begin(kKnownFrameKinds), std::end(kKnownFrameKinds),
                                 [&](FrameKind k) { return static_cast<uint32_t>(k) == kind; });
  if (!known) {
    return absl::DataLossError(
        fmt::format("the frame at byte {} is of a kind that is not known: {}", offset_, kind));
  }
  header.kind = static_cast<FrameKind>(kind);
  if (header.bytes > payload_bytes_max_) {
    return absl::DataLossError(fmt::format("the frame at byte {} has {} bytes, more than {}",
                                           offset_, header.bytes, payload_bytes_max_));
  }
  return header;
}

StatusOr<std::optional<Frame>> FrameDecoder::Next() {
  if (!status_.ok()) return status_;
  if (!greeted_) {
    if (Status status = ReadPreamble(); !status.ok()) return Fail(std::move(status));
    if (!greeted_) return std::optional<Frame>();
  }
  if (!header_) {
    if (unread() < kFrameHeaderBytes) return std::optional<Frame>();
    StatusOr<Header> header = ReadHeader();
    if (!header.ok()) return Fail(std::move(header).status());
    header_ = *header;
    Consume(kFrameHeaderBytes);
  }
  if (unread() < header_->bytes) return std::optional<Frame>();
  const std::string_view payload(buffer_.data() + begin_, header_->bytes);
  if (Hash64(payload) != header_->checksum) {
    return Fail(absl::DataLossError(fmt::format(
        "the payload of the frame at byte {} has a wrong checksum", offset_ - kFrameHeaderBytes)));
  }
  Frame frame{header_->kind, header_->channel, CopyToSlab(payload)};
  header_.reset();
  Consume(payload.size());
  return std::optional<Frame>(std::move(frame));
}

Status FrameDecoder::AtEnd() const {
  if (!status_.ok()) return status_;
  if (!greeted_) return absl::DataLossError("the stream ends before the preamble does");
  if (header_ || unread() > 0) {
    return absl::DataLossError(
        fmt::format("the stream ends in the middle of a frame, at byte {}", offset_ + unread()));
  }
  return absl::OkStatus();
}

}  // namespace weir
