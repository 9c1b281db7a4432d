// evops_edges: all synapses of a projection, row after row, for the conversion to stored form; and
// evops_indptr, which counts synapses out among the rows.
#include <vector>

#include "check.h"
#include "handler.h"
#include "parallel.h"

namespace evops {
namespace {

// A word that is counted out takes as long as so many synapses that are drawn, and a node as so many more.
constexpr double kWorkOfAWord = 0.25, kWorkOfANode = 4;

// Divides the synapses among rows (sampler.py: counted rows), and sums up: entry i of `indptr` is that of the rows
// before i. Rows are divided into powers of two first, and then halved, all of one size at a time.
template <class Pool>
void CountRows(const uint32_t* key, int64_t total, int64_t n, uint32_t* indptr, Pool& pool) {
  uint32_t* const counts = indptr + 1;
  std::fill(indptr, indptr + n + 1, 0u);
  counts[0] = static_cast<uint32_t>(total);
  const auto divide = [&](int64_t half, int64_t first, int64_t nodes) {
    const uint32_t span[] = {static_cast<uint32_t>(half), static_cast<uint32_t>(first), static_cast<uint32_t>(nodes)};
    Call(ActiveKernels().count_rows, Array(key, 2), Array(span, 3), Array(counts, n));
  };
  divide(0, 0, 1);
  int64_t half = 1;
  while (half <= n / 4) half *= 2;
  for (; half >= 1 && 2 * half <= n; half /= 2) {
    const int64_t nodes = n / (2 * half);
    const double work = static_cast<double>(total) / 32 * kWorkOfAWord + static_cast<double>(nodes) * kWorkOfANode;
    const int64_t parts = std::min(Parts(pool, work), nodes);
    Parallel(pool, parts, [&](int64_t part) {
      const int64_t begin = nodes * part / parts;
      divide(half, begin, nodes * (part + 1) / parts - begin);
    });
  }
  for (int64_t i = 0; i < n; ++i) indptr[i + 1] += indptr[i];
}

ffi::Error Edges(ffi::ThreadPool pool, ffi::AnyBuffer key, ffi::AnyBuffer table, ffi::AnyBuffer quantiles,
                 ffi::AnyBuffer delays, ffi::AnyBuffer indptr, ffi::Result<ffi::AnyBuffer> post,
                 ffi::Result<ffi::AnyBuffer> z, ffi::Result<ffi::AnyBuffer> drawn, int64_t n_post, Integers words) {
  constexpr const char* kOp = "evops_edges";
  MatrixSpec spec;
  if (n_post < 1 || n_post > kMaxElements) return Invalid(kOp, "n_post is " + std::to_string(n_post));
  if (indptr.dimensions().size() != 1 || indptr.dimensions()[0] < 1)
    return Invalid(kOp, "indptr is " + Describe(indptr) + ", expected int32[n_pre + 1]");
  const int64_t n_pre = indptr.dimensions()[0] - 1;
  std::string bad = ReadSpec(words, n_post, n_post, &spec);
  if (bad.empty()) bad = CheckTables(spec, table, quantiles, 1, n_pre);
  if (bad.empty()) bad = Mismatch("delays", delays, ffi::DataType::U32, {DelaysOf(spec.delay_bits)});
  if (!bad.empty()) return Invalid(kOp, bad);
  const bool varied = LawOf(spec) != Law::kConstant, delayed = spec.delay_bits != 0;
  const int64_t synapses = static_cast<int64_t>(post->element_count());
  for (const std::string& wrong :
       {Mismatch("key", key, ffi::DataType::U32, {2}), Mismatch("indptr", indptr, ffi::DataType::S32, {n_pre + 1}),
        Mismatch("post", *post, ffi::DataType::S32, {synapses}),
        Mismatch("z", *z, ffi::DataType::F32, {varied ? synapses : 0}),
        Mismatch("drawn", *drawn, ffi::DataType::S32, {delayed ? synapses : 0})})
    if (!wrong.empty()) return Invalid(kOp, wrong);
  const int32_t* start = static_cast<const int32_t*>(indptr.untyped_data());
  const uint32_t* t = static_cast<const uint32_t*>(key.untyped_data());
  int32_t* posts = static_cast<int32_t*>(post->untyped_data());
  float* zs = static_cast<float*>(z->untyped_data());
  int32_t* steps = static_cast<int32_t*>(drawn->untyped_data());
  const Delays table_of_delays{delayed ? static_cast<const uint32_t*>(delays.untyped_data()) : nullptr,
                               spec.delay_bits};
  for (int64_t i = 0; i <= n_pre; ++i)
    if (start[i] < (i ? start[i - 1] : 0) || start[i] > synapses || (i == 0 && start[i] != 0))
      return Invalid(kOp, "indptr does not rise from 0 to at most " + std::to_string(synapses));
  // Results have room for more synapses than there are, so that many seeds share a program; the rest is 0.
  const int64_t found = start[n_pre];
  std::fill(posts + found, posts + synapses, 0);
  if (varied) std::fill(zs + found, zs + synapses, 0.0f);
  if (delayed) std::fill(steps + found, steps + synapses, 0);
  const int64_t parts = Parts(pool, static_cast<double>(found));
  std::atomic<bool> wrong_count{false};
  Parallel(pool, parts, [&](int64_t part) {
    const int64_t begin = n_pre * part / parts, end = n_pre * (part + 1) / parts;
    std::vector<int32_t> at(start + begin, start + end);
    SynapseReader reader(spec.scheme, LawOf(spec), RowOf(table, 0), TableOf(quantiles), false, table_of_delays);
    constexpr int64_t kRows = 512;
    Row rows[kRows];
    Synapses list;
    for (int64_t first = begin; first < end; first += kRows) {
      const int64_t count = std::min(kRows, end - first);
      for (int64_t i = 0; i < count; ++i)
        rows[i] = {t[0], t[1], static_cast<uint32_t>(first + i), 0, n_post, 0, nullptr};
      reader.Begin(rows, count);
      while (reader.Next(&list)) {
        for (int64_t k = 0; k < list.count; ++k) {
          const int64_t i = first - begin + list.row[list.owner[k]];
          const int32_t place = at[i];
          if (place >= start[begin + i + 1]) {  // written there, it would be another row's
            wrong_count = true;
            break;
          }
          ++at[i];
          posts[place] = static_cast<int32_t>(list.target[k]);
          if (varied) zs[place] = list.z[k];
          if (list.delay) steps[place] = static_cast<int32_t>(list.delay[k]);
        }
      }
    }
    for (int64_t i = begin; i < end; ++i)
      if (at[i - begin] != start[i + 1]) wrong_count = true;
  });
  if (wrong_count) return Invalid(kOp, "a row has more or fewer synapses than indptr says");
  return ffi::Error::Success();
}

// evops_indptr: how many of the synapses of a counted rule each pre neuron has, as running sums.
ffi::Error Indptr(ffi::ThreadPool pool, ffi::AnyBuffer key, ffi::Result<ffi::AnyBuffer> indptr, int64_t total) {
  constexpr const char* kOp = "evops_indptr";
  if (indptr->dimensions().size() != 1 || indptr->dimensions()[0] < 2 || indptr->dimensions()[0] > kMaxElements)
    return Invalid(kOp, "the result is " + Describe(*indptr) + ", expected uint32[n_pre + 1]");
  const int64_t n = indptr->dimensions()[0] - 1;
  for (const std::string& wrong :
       {Mismatch("key", key, ffi::DataType::U32, {2}), Mismatch("indptr", *indptr, ffi::DataType::U32, {n + 1})})
    if (!wrong.empty()) return Invalid(kOp, wrong);
  if (total < 0 || total > kMaxElements) return Invalid(kOp, "total is " + std::to_string(total));
  CountRows(static_cast<const uint32_t*>(key.untyped_data()), total, n, static_cast<uint32_t*>(indptr->untyped_data()),
            pool);
  return ffi::Error::Success();
}

}  // namespace
}  // namespace evops

// The same for known keys, without XLA, which would compile a program for every number of rows and synapses: 0 on
// success, 1 where an argument is out of range, 2 without memory. `indptr` has n + 1 entries.
EVOPS_EXPORT int evops_count_rows(const uint32_t* key, int64_t total, int64_t n, uint32_t* indptr) {
  return evops::GuardedStatus([&] {
    if (!key || !indptr || n < 1 || n >= evops::kMaxElements || total < 0 || total > evops::kMaxElements) return 1;
    evops::Helpers helpers;
    evops::CountRows(key, total, n, indptr, helpers);
    return 0;
  });
}

EVOPS_HANDLER(evops_indptr, evops::Indptr, (evops::BindOnCpu<1, 1>().Attr<int64_t>("total")));
EVOPS_HANDLER(evops_edges, evops::Edges,
              (evops::BindOnCpu<5, 3>().Attr<int64_t>("n_post").Attr<evops::Integers>("spec")));
