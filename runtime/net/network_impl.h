// What the files that serve sockets share, those of runtime/net/ and runtime/rest/; nobody else
// includes it, since Asio is heavy.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <thread>

#include "runtime/net/connection.h"
#include "runtime/net/network_thread.h"

namespace weir {

struct NetworkThread::Impl {
  boost::asio::io_context io{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
  std::thread thread;
};

// Makes the acceptor listen at the address and returns where it does; errors are those of
// Listener::Listen().
StatusOr<Address> OpenAcceptor(boost::asio::ip::tcp::acceptor& acceptor, const Address& wanted);

// A connection that a listener took.
std::unique_ptr<Connection> MakeAccepted(NetworkThread& network,
                                         boost::asio::ip::tcp::socket socket, Address peer,
                                         Connection::Options options);

}  // namespace weir
