// Doorkeeper: takes connections at an address, and bounds what those cost that have not said who
// they are. Whoever listens for members (executors, workers) does it through one.
//
// A connection is unknown until its first frame, which must be a Hello; what that is, `greet`
// decides. Until then
//   - it may send nothing larger than limits::kHelloBytesMax,
//   - it has Options::hello_timeout, the TLS handshake included,
//   - it is one of at most unknown_max. A further one takes the place of the one that has been
//     silent longest: so who says nothing cannot keep those out that do.
// What is refused is closed, with a log line that names the address and the reason; in a flood only
// the first limits::kRefusalLinesMax of each limits::kRefusalPeriod, and how many more there were.
//
// Callbacks run on the network thread, which must outlive it. Destroyed on any thread, and inside
// its callbacks; afterwards none of its own runs. Connections that were let in stay.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/net/connection.h"

namespace weir {

class Doorkeeper {
 public:
  struct Options {
    Address listen{"127.0.0.1", 0};
    Connection::Options connection;  // of those that are let in
    Duration hello_timeout = limits::kHelloTimeout;
    size_t unknown_max = limits::kUnknownConnectionsMax;
    size_t expected = 0;  // members that may all come at once, beside unknown_max
  };
  // Lets a connection in by taking it out of `connection` and returning what it calls from now on,
  // or refuses it with the reason, which is only logged and must quote nothing of who is unknown.
  using Greet = std::function<StatusOr<Connection::Callbacks>(
      const Frame& first, std::unique_ptr<Connection>& connection)>;
  using Log = std::function<void(const std::string& line)>;

  // Begins to listen. Errors are those of Listener::Listen.
  static StatusOr<std::unique_ptr<Doorkeeper>> Listen(NetworkThread& network, Options options,
                                                      Greet greet, Log log);
  ~Doorkeeper();

  const Address& address() const;
  // From any thread.
  void set_expected(size_t members);

 private:
  struct Impl;
  explicit Doorkeeper(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace weir
