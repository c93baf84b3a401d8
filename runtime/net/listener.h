// Listener: takes connections at an address.
//
// on_accept runs on the network thread and is given a connection that Start() has not been called
// for. Destroyed on any thread; afterwards on_accept does not run. The NetworkThread must outlive
// it. An accept that fails (no file descriptors left) is tried again a little later.
#pragma once

#include <functional>
#include <memory>

#include "runtime/net/connection.h"

namespace weir {

class Listener {
 public:
  using OnAccept = std::function<void(std::unique_ptr<Connection>)>;

  // Port 0 is any that is free: address() tells which. `options` are those of the connections. The
  // host must be an IP address or "localhost". Unavailable names the address, where it is in use.
  static StatusOr<std::unique_ptr<Listener>> Listen(NetworkThread& network, const Address& address,
                                                    Connection::Options options,
                                                    OnAccept on_accept);
  ~Listener();

  const Address& address() const;

 private:
  struct Impl;
  explicit Listener(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace weir
