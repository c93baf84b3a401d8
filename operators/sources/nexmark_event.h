// The rows of the NEXMark benchmark: what happens at an auction house, as nexmark_generator.h makes
// it. Views point into the slabs of the batch that holds the row. Times are event times in
// microseconds, whole milliseconds as the benchmark has them.
#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>

#include "core/codec.h"
#include "core/time.h"

namespace weir {

struct NexmarkPerson {
  int64_t id = 0;
  std::string_view name;
  std::string_view email;
  std::string_view credit_card;
  std::string_view city;
  std::string_view state;
  Timestamp date_time = 0;
  std::string_view extra;  // fills the row up to its size

  BOOST_DESCRIBE_CLASS(NexmarkPerson, (),
                       (id, name, email, credit_card, city, state, date_time, extra), (), ())
};

struct NexmarkAuction {
  int64_t id = 0;
  std::string_view item_name;
  std::string_view description;
  int64_t initial_bid = 0;  // cents
  int64_t reserve = 0;      // cents
  Timestamp date_time = 0;
  Timestamp expires = 0;
  int64_t seller = 0;  // a person's id
  int64_t category = 0;
  std::string_view extra;

  BOOST_DESCRIBE_CLASS(NexmarkAuction, (),
                       (id, item_name, description, initial_bid, reserve, date_time, expires,
                        seller, category, extra),
                       (), ())
};

struct NexmarkBid {
  int64_t auction = 0;
  int64_t bidder = 0;  // a person's id
  int64_t price = 0;   // cents
  Timestamp date_time = 0;
  std::string_view extra;

  BOOST_DESCRIBE_CLASS(NexmarkBid, (), (auction, bidder, price, date_time, extra), (), ())
};

struct NexmarkEvent {
  // From 0 on, each once: what the event follows from, and its order among those of one time.
  uint64_t event_id = 0;
  std::variant<NexmarkBid, NexmarkAuction, NexmarkPerson> body;

  // Null if it is another kind of event.
  const NexmarkPerson* person() const { return std::get_if<NexmarkPerson>(&body); }
  const NexmarkAuction* auction() const { return std::get_if<NexmarkAuction>(&body); }
  const NexmarkBid* bid() const { return std::get_if<NexmarkBid>(&body); }
};

namespace internal {

// How an event is encoded and described: as a struct of which one member is there.
struct NexmarkEventFields {
  uint64_t event_id = 0;
  std::optional<NexmarkPerson> person;
  std::optional<NexmarkAuction> auction;
  std::optional<NexmarkBid> bid;

  BOOST_DESCRIBE_CLASS(NexmarkEventFields, (), (event_id, person, auction, bid), (), ())
};

}  // namespace internal

template <>
struct Codec<NexmarkEvent> {
  using Fields = internal::NexmarkEventFields;

  static Schema Describe() { return Codec<Fields>::Describe(); }
  static void Encode(const NexmarkEvent& event, std::string& out) {
    Codec<Fields>::Encode(FieldsOf(event), out);
  }
  static bool Decode(ByteReader& in, NexmarkEvent& event) {
    Fields fields;
    return Codec<Fields>::Decode(in, fields) && Take(fields, event);
  }
  static bool DecodeAs(const Schema& written, ByteReader& in, NexmarkEvent& event) {
    Fields fields;
    return Codec<Fields>::DecodeAs(written, in, fields) && Take(fields, event);
  }
  static size_t ViewBytes(const NexmarkEvent& event) {
    return std::visit(
        [](const auto& body) { return Codec<std::decay_t<decltype(body)>>::ViewBytes(body); },
        event.body);
  }
  static void WriteJson(const NexmarkEvent& event, JsonWriter& out) {
    Codec<Fields>::WriteJson(FieldsOf(event), out);
  }
  static Status ReadJson(const JsonValue& json, NexmarkEvent& event, SlabArena& arena) {
    Fields fields;
    WEIR_RETURN_IF_ERROR(Codec<Fields>::ReadJson(json, fields, arena));
    if (Take(fields, event)) return absl::OkStatus();
    return absl::InvalidArgumentError("an event is one of person, auction and bid");
  }

 private:
  static Fields FieldsOf(const NexmarkEvent& event) {
    Fields fields{.event_id = event.event_id};
    if (auto* person = event.person()) fields.person = *person;
    if (auto* auction = event.auction()) fields.auction = *auction;
    if (auto* bid = event.bid()) fields.bid = *bid;
    return fields;
  }
  // False unless exactly one member is there.
  static bool Take(const Fields& fields, NexmarkEvent& event) {
    if (fields.person.has_value() + fields.auction.has_value() + fields.bid.has_value() != 1) {
      return false;
    }
    event.event_id = fields.event_id;
    if (fields.person) event.body = *fields.person;
    if (fields.auction) event.body = *fields.auction;
    if (fields.bid) event.body = *fields.bid;
    return true;
  }
};

}  // namespace weir
