// Products of a vector with K matrices at once: evops_scatter (x along the lines) and evops_gather
// (x along the positions). Instance k uses row (k / repeat) mod X of x, weight[k] and seed[k].
#include "check.h"

namespace evops {
namespace {

struct Shape {
  int64_t rows, n_x, instances, n_out, repeat;
};

std::string CheckShape(const ffi::AnyBuffer& x, const ffi::AnyBuffer& weight,
                       const ffi::AnyBuffer& seed, const ffi::AnyBuffer& y, int64_t repeat,
                       Shape* s) {
  if (x.dimensions().size() != 2) return "x is " + Describe(x) + ", expected rank 2";
  if (y.dimensions().size() != 2) return "y is " + Describe(y) + ", expected rank 2";
  *s = {x.dimensions()[0], x.dimensions()[1], y.dimensions()[0], y.dimensions()[1], repeat};
  if (s->n_x > kMaxElements || s->instances * s->n_out > kMaxElements)
    return "x is " + Describe(x) + " and y " + Describe(y) + ", at most 2147483647 elements each";
  if (s->instances > 0 && (repeat < 1 || s->rows < 1 || s->instances % (s->rows * repeat) != 0))
    return std::to_string(s->instances) + " instances for " + std::to_string(s->rows) +
           " rows of x with repeat " + std::to_string(repeat);
  std::string bad = Mismatch("weight", weight, y.element_type(), {s->instances});
  return bad.empty() ? Mismatch("seed", seed, ffi::DataType::U32, {s->instances}) : bad;
}

template <class X, class T>
void ScatterRows(const X* x, const T* weight, const uint32_t* seed, T* y, const Shape& s,
                 const Scheme& scheme) {
  Lines<T> lines(scheme, y, s.instances * s.n_out);
  for (int64_t first = 0; first < s.instances; first += s.repeat) {
    const X* row = x + (first / s.repeat) % s.rows * s.n_x;
    ForEachNonzero(row, s.n_x, [&](int64_t i) {
      for (int64_t k = first; k < first + s.repeat; ++k)
        if (weight[k] != T(0))
          lines.Add(seed[k], i, k * s.n_out, s.n_out, static_cast<T>(weight[k] * static_cast<T>(row[i])));
    });
  }
}

template <class T>
void GatherRows(const T* x, const T* weight, const uint32_t* seed, T* y, const Shape& s,
                const Scheme& scheme) {
  if (s.n_x == 0) return;
  for (int64_t k = 0; k < s.instances; ++k) {
    if (weight[k] == T(0)) continue;
    const T* row = x + (k / s.repeat) % s.rows * s.n_x;
    Call(Element<T>::Gather(), Array(row, s.n_x), Array(weight + k, 1), Array(seed + k, 1),
         Array(scheme.words, 3), Array(y + k * s.n_out, s.n_out));
  }
}

ffi::Error Product(const char* op, bool gather, ffi::AnyBuffer x, ffi::AnyBuffer weight,
                   ffi::AnyBuffer seed, ffi::AnyBuffer y, int64_t repeat, Integers scheme_words) {
  Shape s;
  Scheme scheme;
  const std::string bad = CheckShape(x, weight, seed, y, repeat, &s);
  if (!bad.empty()) return Invalid(op, bad);
  if (!ReadScheme(scheme_words, &scheme)) return Invalid(op, "scheme is not (clen, multiplier, hashed)");
  const bool spikes = x.element_type() == ffi::DataType::PRED && !gather;
  if (!spikes && x.element_type() != y.element_type())
    return Invalid(op, "x is " + Describe(x) + ", expected " + (gather ? "" : "bool or ") +
                           Name(y.element_type()));
  return ForElement(op, y.element_type(), [&](auto zero) {
    using T = decltype(zero);
    T* out = static_cast<T*>(y.untyped_data());
    const T* w = static_cast<const T*>(weight.untyped_data());
    const T* values = static_cast<const T*>(x.untyped_data());
    const uint32_t* seeds = static_cast<const uint32_t*>(seed.untyped_data());
    std::memset(out, 0, s.instances * s.n_out * sizeof(T));
    if (gather) {
      GatherRows(values, w, seeds, out, s, scheme);
    } else if (spikes) {
      ScatterRows(static_cast<const uint8_t*>(x.untyped_data()), w, seeds, out, s, scheme);
    } else {
      ScatterRows(values, w, seeds, out, s, scheme);
    }
    return ffi::Error::Success();
  });
}

ffi::Error Scatter(ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed,
                   ffi::Result<ffi::AnyBuffer> y, int64_t repeat, Integers scheme_words) {
  return Product("evops_scatter", false, x, weight, seed, *y, repeat, scheme_words);
}

ffi::Error Gather(ffi::AnyBuffer x, ffi::AnyBuffer weight, ffi::AnyBuffer seed,
                  ffi::Result<ffi::AnyBuffer> y, int64_t repeat, Integers scheme_words) {
  return Product("evops_gather", true, x, weight, seed, *y, repeat, scheme_words);
}

auto Binding() {
  return ffi::Ffi::Bind()
      .Arg<ffi::AnyBuffer>()
      .Arg<ffi::AnyBuffer>()
      .Arg<ffi::AnyBuffer>()
      .Ret<ffi::AnyBuffer>()
      .Attr<int64_t>("repeat")
      .Attr<Integers>("scheme");
}

}  // namespace
}  // namespace evops

XLA_FFI_DEFINE_HANDLER_SYMBOL(evops_scatter, evops::Scatter, evops::Binding());
XLA_FFI_DEFINE_HANDLER_SYMBOL(evops_gather, evops::Gather, evops::Binding());
