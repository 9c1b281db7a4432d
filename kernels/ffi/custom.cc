// evops_custom: a user's own kernel, compiled when it is first used and made known here under a key.
#include "custom.h"

#include <chrono>

#include "handler.h"
#include "kernels.h"
#include "parallel.h"

namespace evops {
namespace {

// How long a kernel takes for an element of its largest array, in ns: by its last calls. A guess that is wrong costs
// time and changes no result, so threads may overwrite one another's.
class Pace {
 public:
  using Clock = std::chrono::steady_clock;
  double Of(int64_t elements) const { return ns_.load(std::memory_order_relaxed) * static_cast<double>(elements); }
  void Took(Clock::duration time, double elements) {
    const double ns = std::chrono::duration<double, std::nano>(time).count() / std::max(elements, 1.0);
    const double before = ns_.load(std::memory_order_relaxed);
    // A first call is slow: its memory is new. So what is faster counts at once, what is slower little by little.
    ns_.store(before == 0 || ns < before ? ns : before + (ns - before) / 8, std::memory_order_relaxed);
  }

 private:
  std::atomic<double> ns_{0};
};

// A kernel for operands and results in this order. One that can be split takes one array more, int32[2]: which
// part of its loop to run, and of how many.
struct Custom {
  Kernel kernel;
  Parameters parameters;
  bool split;
  Kernel Kernels::* own = nullptr;  // of a kernel of the package, which every level has
  std::shared_ptr<Pace> pace = std::make_shared<Pace>();
  void Call(RuntimeContext* context) const { (own ? ActiveKernels().*own : kernel)(context); }
};

// The package's kernels of neurons (kernels/neurons.py), by name.
const Custom* FindNeurons(std::string_view name) {
  using ffi::F32, ffi::PRED, ffi::U8;
  const auto of_rank_one = [](std::initializer_list<ffi::DataType> types) {
    Parameters parameters;
    for (const ffi::DataType type : types) parameters.push_back({type, 1});
    return parameters;
  };
  static const auto& neurons = *new std::map<std::string_view, Custom>{
#define EVOPS_NEURON(name, ...) {#name, {nullptr, of_rank_one({__VA_ARGS__}), true, &Kernels::name}},
      EVOPS_NEURONS(EVOPS_NEURON)
#undef EVOPS_NEURON
  };
  const auto found = neurons.find(name);
  return found == neurons.end() ? nullptr : &found->second;
}

// Least work of a part in ns, and the least for which another thread is woken. Parts of a thread: one that wakes late
// finds less to do.
constexpr double kPart = 4e3, kWake = 1e4;
constexpr int64_t kPartsOfAThread = 8;

// How a call of `work` ns is split over so many threads of a pool.
struct Split {
  Split(double work, int64_t pool) {
    if (work < kWake || pool < 2) return;
    parts = threads = std::min<int64_t>(work / kPart, pool);
    // As many parts for every thread, in powers of two: so a thread keeps its entries, which lie in its cache, when the
    // kernel's pace, as it is measured, changes a little.
    while (parts < kPartsOfAThread * threads && work / (2 * parts) >= kPart) parts *= 2;
  }
  int64_t threads = 1, parts = 1;
};

// Runs one of several parts, in whichever thread, with an argument block of its own.
void RunPart(const Custom& custom, const Block& block, int64_t elements, int64_t part, int64_t parts) {
  std::vector<uint64_t> own(block.begin(), block.end());
  const int32_t which[] = {static_cast<int32_t>(part), static_cast<int32_t>(parts)};
  const int32_t* data = which;
  own.resize(own.size() + 2, 2);  // the extent
  std::memcpy(&own.back(), &data, sizeof data);
  RuntimeContext context{own.data(), nullptr, 0, nullptr};
  const auto begin = Pace::Clock::now();
  custom.Call(&context);
  custom.pace->Took(Pace::Clock::now() - begin, static_cast<double>(elements) / static_cast<double>(parts));
}

ffi::Error RunCustom(ffi::ThreadPool pool, ffi::RemainingArgs operands, ffi::RemainingRets results,
                     std::string_view key, std::string_view name, Contents contents) {
  const auto op = [&] { return "evops_custom " + std::string(name); };
  const Custom* custom = Registry<Custom>::Get().Find(key);
  if (!custom) custom = FindNeurons(key);
  if (!custom) return NotLoaded(op(), key);
  Block block(custom->parameters, 0);
  const auto copy = [](ffi::AnyBuffer to, const ffi::AnyBuffer& from) {
    if (from.size_bytes()) std::memcpy(to.untyped_data(), from.untyped_data(), from.size_bytes());
  };
  ffi::Error error = Pack(op, custom->parameters, operands, results, results.size(), contents, &block, copy);
  if (error.failure()) return error;
  for (size_t i = 0; i < results.size(); ++i) {
    auto buffer = results.get<ffi::AnyBuffer>(i);
    if (contents[i] == kZeros && (*buffer)->size_bytes())
      std::memset((*buffer)->untyped_data(), 0, (*buffer)->size_bytes());
  }
  if (!custom->split) {
    RuntimeContext context{block.begin(), nullptr, 0, nullptr};
    custom->Call(&context);
    return ffi::Error::Success();
  }
  int64_t elements = 0;
  for (size_t i = 0; i < operands.size(); ++i)
    elements = std::max<int64_t>(elements, operands.get<ffi::AnyBuffer>(i)->element_count());
  for (size_t i = 0; i < results.size(); ++i)
    elements = std::max<int64_t>(elements, (*results.get<ffi::AnyBuffer>(i))->element_count());
  const double work = custom->pace->Of(elements);
  const Split split(work, pool.num_threads());
  Parallel(
      pool, split.parts, [&](int64_t part) { RunPart(*custom, block, elements, part, split.parts); }, split.threads);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace evops

// Makes a kernel known under a key: its address, and XLA's element type and the rank of each of its `arrays`
// arrays. See GuardedStatus for what it returns.
EVOPS_EXPORT int evops_register_custom(const char* key, void* kernel, const int32_t* signature, int64_t arrays,
                                       int split) {
  return evops::GuardedStatus([&] {
    evops::Custom custom{reinterpret_cast<evops::Kernel>(kernel), {}, split != 0};
    if (!key || !kernel || !evops::ReadSignature(signature, arrays, &custom.parameters)) return 1;
    evops::Registry<evops::Custom>::Get().Add(key, std::move(custom));
    return 0;
  });
}

EVOPS_HANDLER(evops_custom, evops::RunCustom,
              evops::ffi::Ffi::Bind()
                  .Ctx<evops::ffi::ThreadPool>()
                  .RemainingArgs()
                  .RemainingRets()
                  .Attr<std::string_view>("key")
                  .Attr<std::string_view>("name")
                  .Attr<evops::Contents>("contents"));
