"""The NEXMark benchmark in plain Python, from its published rules: the events by their numbers, and what each query makes of them.

Independent of Weir's code. Members are named as in Weir's JSON; times are in microseconds.
"""

import math

EPOCH, PEOPLE, AUCTIONS, BIDS = 50, 1, 3, 46
FIRST_PERSON, FIRST_AUCTION, FIRST_CATEGORY = 1000, 1000, 10
LEAD, HOT_EVERY = 10, 100
ACTIVE_PEOPLE, IN_FLIGHT = 1000, 100
HOT_AUCTION_RATIO, HOT_BIDDER_RATIO, HOT_SELLER_RATIO = 2, 4, 4
SIZES = {"person": 200, "auction": 500, "bid": 100}
BASE_TIME_MS, EVENT_DELAY_US = 1436918400000, 100

STATES = "AZ,CA,ID,OR,WA,WY".split(",")
CITIES = "Phoenix,Los Angeles,San Francisco,Boise,Portland,Bend,Redmond,Seattle,Kent,Cheyenne".split(",")
FIRST_NAMES = "Peter,Paul,Luke,John,Saul,Vicky,Kate,Julie,Sarah,Deiter,Walter".split(",")
LAST_NAMES = "Shultz,Abrams,Spencer,White,Bartels,Walton,Smith,Jones,Noris".split(",")


class JavaRandom:
    """java.util.Random, by its documentation."""

    def __init__(self, seed):
        self.seed = (seed ^ 0x5DEECE66D) & ((1 << 48) - 1)

    def next(self, bits):
        self.seed = (self.seed * 0x5DEECE66D + 0xB) & ((1 << 48) - 1)
        value = self.seed >> (48 - bits)
        return value - (1 << 32) if value >= 1 << 31 else value

    def next_int(self, bound):
        if bound & (bound - 1) == 0:
            return (bound * self.next(31)) >> 31
        while True:
            value = self.next(31)
            if value - value % bound + bound - 1 < 1 << 31:
                return value % bound

    def next_double(self):
        return ((self.next(26) << 27) + self.next(27)) * 2.0**-53


def text(random, length_max):
    length = 3 + random.next_int(length_max - 3)
    return "".join(" " if random.next_int(13) == 0 else chr(97 + random.next_int(26)) for _ in range(length)).strip(" ")


def exact_text(random, length):
    characters, value, left = [], 0, 0
    for _ in range(length):
        if left == 0:
            value, left = random.next(32), 6
        digit = int(math.fmod(value, 26))  # with the sign of the value
        characters.append(chr(97 + digit))
        value, left = int((value - digit) // 26), left - 1
    return "".join(characters)


def extra(random, size, wanted):
    if size > wanted:
        return ""
    wanted -= size
    delta = math.floor(wanted * 0.2 + 0.5)
    return exact_text(random, wanted - delta + (random.next_int(2 * delta) if delta else 0))


def price(random):
    return math.floor(math.pow(10.0, random.next_double() * 6.0) * 100.0 + 0.5)


def time_ms(number):
    return BASE_TIME_MS + number * EVENT_DELAY_US // 1000


def last_person(event_id):
    return event_id // EPOCH * PEOPLE + min(event_id % EPOCH, PEOPLE - 1)


def last_auction(event_id):
    epoch, offset = divmod(event_id, EPOCH)
    if offset < PEOPLE:
        return (epoch - 1) * AUCTIONS + AUCTIONS - 1
    return epoch * AUCTIONS + min(offset - PEOPLE, AUCTIONS - 1)


def any_person(event_id, random):
    people = last_person(event_id) + 1
    active = min(people, ACTIVE_PEOPLE)
    return people - active + random.next_int(active + LEAD)


def any_auction(event_id, random):
    # Towards zero, as Java divides and compares; there is no auction before the first.
    last = last_auction(event_id)
    first = max(last - IN_FLIGHT, 0)
    return first + random.next_int(last - first + 1 + LEAD)


def person(event_id, random):
    made = {"id": last_person(event_id) + FIRST_PERSON}
    made["name"] = FIRST_NAMES[random.next_int(len(FIRST_NAMES))] + " " + LAST_NAMES[random.next_int(len(LAST_NAMES))]
    made["email"] = text(random, 7) + "@" + text(random, 5) + ".com"
    made["credit_card"] = " ".join(f"{random.next_int(10000):04d}" for _ in range(4))
    made["city"] = CITIES[random.next_int(len(CITIES))]
    made["state"] = STATES[random.next_int(len(STATES))]
    made["date_time"] = time_ms(event_id) * 1000
    size = 8 + sum(len(made[name]) for name in ("name", "email", "credit_card", "city", "state"))
    made["extra"] = extra(random, size, SIZES["person"])
    return made


def auction(event_id, random):
    made = {"id": last_auction(event_id) + FIRST_AUCTION}
    if random.next_int(HOT_SELLER_RATIO) > 0:
        seller = last_person(event_id) // HOT_EVERY * HOT_EVERY
    else:
        seller = any_person(event_id, random)
    category = FIRST_CATEGORY + random.next_int(5)
    made["initial_bid"] = price(random)
    horizon = time_ms(event_id + IN_FLIGHT * EPOCH // AUCTIONS) - time_ms(event_id)
    expires = time_ms(event_id) + 1 + random.next_int(max(horizon * 2, 1))
    made["item_name"] = text(random, 20)
    made["description"] = text(random, 100)
    made["reserve"] = made["initial_bid"] + price(random)
    made["date_time"], made["expires"] = time_ms(event_id) * 1000, expires * 1000
    made["seller"], made["category"] = seller + FIRST_PERSON, category
    made["extra"] = extra(random, 48 + len(made["item_name"]) + len(made["description"]), SIZES["auction"])
    return made


def bid(event_id, random):
    made = {}
    if random.next_int(HOT_AUCTION_RATIO) > 0:
        made["auction"] = last_auction(event_id) // HOT_EVERY * HOT_EVERY + FIRST_AUCTION
    else:
        made["auction"] = any_auction(event_id, random) + FIRST_AUCTION
    if random.next_int(HOT_BIDDER_RATIO) > 0:
        made["bidder"] = last_person(event_id) // HOT_EVERY * HOT_EVERY + 1 + FIRST_PERSON
    else:
        made["bidder"] = any_person(event_id, random) + FIRST_PERSON
    made["price"] = price(random)
    made["date_time"] = time_ms(event_id) * 1000
    made["extra"] = extra(random, 32, SIZES["bid"])
    return made


def event(event_id):
    """As q0 puts it out."""
    random, offset = JavaRandom(event_id), event_id % EPOCH
    made = {"event_id": event_id, "person": None, "auction": None, "bid": None}
    kind = "person" if offset < PEOPLE else "auction" if offset < PEOPLE + AUCTIONS else "bid"
    made[kind] = {"person": person, "auction": auction, "bid": bid}[kind](event_id, random)
    return made


def bids(events):
    for made in events:
        if made["bid"]:
            yield {"event_id": made["event_id"], **made["bid"]}


def q0(events):
    return events


def q1(events):
    return [{**made, "price": made["price"] * 89 // 100} for made in bids(events)]


def q2(events):
    return [{"auction": made["auction"], "price": made["price"]} for made in bids(events) if made["auction"] % 123 == 0]


def q18(events):
    last = {}
    for made in bids(events):
        pair = made["auction"], made["bidder"]
        if pair not in last or (made["date_time"], made["event_id"]) > (last[pair]["date_time"], last[pair]["event_id"]):
            last[pair] = made
    return list(last.values())


QUERIES = {"q0": q0, "q1": q1, "q2": q2, "q18": q18}
