#include "runtime/net/network_thread.h"

#include <pthread.h>

#include <boost/asio/post.hpp>
#include <future>

#include "runtime/net/network_impl.h"

namespace weir {

NetworkThread::NetworkThread() : impl_(std::make_unique<Impl>()) {
  impl_->thread = std::thread([impl = impl_.get()] { impl->io.run(); });
  pthread_setname_np(impl_->thread.native_handle(), "weir-net");
}

NetworkThread::~NetworkThread() {
  impl_->work.reset();
  impl_->io.stop();
  impl_->thread.join();
}

void NetworkThread::Post(std::function<void()> work) {
  boost::asio::post(impl_->io, std::move(work));
}

void NetworkThread::RunAndWait(const std::function<void()>& work) {
  if (OnThread()) {
    work();
    return;
  }
  std::promise<void> done;
  Post([&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
}

bool NetworkThread::OnThread() const {
  return impl_->thread.get_id() == std::this_thread::get_id();
}

}  // namespace weir
