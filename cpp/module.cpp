// The compiled engine as the Python module kernelfield._core: arrays in, the interpreter's lock released during the
// work, errors as exceptions. Arrays are read through NumPy's C interface: small images would wait for more.
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#define NPY_NO_DEPRECATED_API NPY_1_22_API_VERSION
#include <numpy/arrayobject.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "correlation.h"
#include "dispatch.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

// Multiply-adds for which the interpreter's lock is not given up.
constexpr double short_work = 2e5;

bool type_of(PyArrayObject* array, kf::Type& type) {
  if (!PyArray_ISNOTSWAPPED(array)) return false;
  switch (PyArray_TYPE(array)) {
    case NPY_BOOL:
    case NPY_UINT8: type = kf::Type::u8; return true;
    case NPY_INT8: type = kf::Type::i8; return true;
    case NPY_UINT16: type = kf::Type::u16; return true;
    case NPY_INT16: type = kf::Type::i16; return true;
    case NPY_HALF: type = kf::Type::f16; return true;
    case NPY_FLOAT: type = kf::Type::f32; return true;
    case NPY_DOUBLE: type = kf::Type::f64; return true;
    default: break;
  }
  const int size = (int)PyArray_ITEMSIZE(array);
  if (size == 4 && PyArray_ISUNSIGNED(array)) return type = kf::Type::u32, true;
  if (size == 4 && PyArray_ISSIGNED(array)) return type = kf::Type::i32, true;
  return false;
}

// The array as the engine takes it; raises where it cannot be taken.
kf::Array array_of(PyObject* object, const char* name, bool writeable) {
  if (!PyArray_Check(object)) throw nb::type_error((std::string(name) + ": expected a NumPy array").c_str());
  auto* array = (PyArrayObject*)object;
  kf::Array result;
  if (!type_of(array, result.type))
    throw nb::type_error((std::string(name) + ": expected integers or floats of up to 32 bits or float64, in native byte order").c_str());
  if (!PyArray_ISALIGNED(array)) throw nb::value_error((std::string(name) + ": expected aligned elements").c_str());
  if (writeable && !PyArray_ISWRITEABLE(array)) throw nb::value_error((std::string(name) + ": expected a writeable array").c_str());
  result.axes = PyArray_NDIM(array);
  if (result.axes > kf::most_axes) throw nb::value_error((std::string(name) + ": expected at most 32 axes").c_str());
  result.data = (std::byte*)PyArray_DATA(array);
  for (int i = 0; i < result.axes; i++) {
    result.shape[i] = PyArray_DIM(array, i);
    result.strides[i] = PyArray_STRIDE(array, i);
  }
  return result;
}

// Asks Python for signals; an exception is then set.
bool interrupted() {
  nb::gil_scoped_acquire held;
  return PyErr_CheckSignals() != 0;
}

void run(const kf::Ready& ready, const kf::Array& image, const kf::Array& out) {
  if (ready.cost(out) <= short_work) {
    ready.run(image, out, nullptr);
    return;
  }
  bool whole;
  {
    nb::gil_scoped_release released;
    whole = ready.run(image, out, interrupted);
  }
  if (!whole) throw nb::python_error();
}

void check(const kf::Ready& ready, const kf::Array& image, const kf::Array& out) {
  if (const char* why = ready.refuses(image, out)) throw nb::value_error(why);
}

// Memory of results: aligned for every instruction set and for frameworks that take it over. What was freed last is
// used again, up to so many bytes: new memory is cleared by the system page by page, which takes longer than a small
// kernel.
class Memory {
  static constexpr std::size_t kept = 32u << 20, small = 1u << 16, places = 4;
  struct Block {
    void* data = nullptr;
    std::size_t size = 0;
  };
  std::mutex lock;  // only ever tried: a child of fork may find it taken for good
  Block free_[places];
  std::size_t held = 0;

  static void* fresh(std::size_t size) {
    const std::size_t alignment = size >= (4u << 20) ? 2u << 20 : 64;
    size = (size + alignment - 1) / alignment * alignment;
#if defined(_WIN32)
    void* data = _aligned_malloc(size, alignment);
#else
    void* data = nullptr;
    if (posix_memalign(&data, alignment, size)) data = nullptr;
#endif
    if (!data) throw std::bad_alloc();
#if defined(__linux__)
    if (alignment > 64) madvise(data, size, MADV_HUGEPAGE);
#endif
    return data;
  }
  static void release(void* data) {
#if defined(_WIN32)
    _aligned_free(data);
#else
    std::free(data);
#endif
  }

 public:
  void* take(std::size_t size) {
    if (size >= small) {
      const std::unique_lock guard(lock, std::try_to_lock);
      for (Block& block : free_) {
        if (!guard) break;
        if (block.size == size) {
          held -= size;
          void* data = block.data;
          block = {};
          return data;
        }
      }
    }
    return fresh(std::max<std::size_t>(size, 1));
  }
  void give(void* data, std::size_t size) {
    Block old[places];
    std::size_t count = 0;
    const std::unique_lock guard(lock, std::try_to_lock);
    if (!guard || size < small || size > kept) {
      old[count++] = {data, size};
    } else {
      // The oldest go first.
      while (held + size > kept || free_[places - 1].data) {
        Block first = free_[0];
        for (std::size_t i = 1; i < places; i++) free_[i - 1] = free_[i];
        free_[places - 1] = {};
        if (first.data) {
          held -= first.size;
          old[count++] = first;
          if (count == places) break;
        }
      }
      for (Block& block : free_)
        if (!block.data) {
          block = {data, size};
          held += size;
          break;
        }
    }
    for (std::size_t i = 0; i < count; i++) release(old[i].data);
  }
};

Memory& memory() {
  static Memory* all = new Memory;  // results may be freed while the interpreter ends
  return *all;
}

struct Owned {
  void* data;
  std::size_t size;
};

void free_owned(PyObject* capsule) {
  auto* owned = (Owned*)PyCapsule_GetPointer(capsule, nullptr);
  if (!owned) return;
  memory().give(owned->data, owned->size);
  delete owned;
}

// A new array (…, H, W), or one whose channels (…, C, H, W) lie side by side. `descr` is borrowed.
PyObject* new_array(int axes, const npy_intp* shape, PyArray_Descr* descr, bool interleaved) {
  npy_intp sizes[kf::most_axes], strides[kf::most_axes];
  npy_intp bytes = PyDataType_ELSIZE(descr);
  auto stride = [&](int axis) {
    strides[axis] = bytes;
    bytes *= std::max<npy_intp>(shape[axis], 1);
  };
  for (int i = 0; i < axes; i++) sizes[i] = shape[i];
  if (interleaved) {
    stride(axes - 3);
    stride(axes - 1);
    stride(axes - 2);
    for (int i = axes - 4; i >= 0; i--) stride(i);
  } else {
    for (int i = axes - 1; i >= 0; i--) stride(i);
  }
  for (int i = 0; i < axes; i++)
    if (!shape[i]) bytes = 0;
  Py_INCREF((PyObject*)descr);
  if (bytes < (npy_intp)(16 << 10) && !interleaved) return PyArray_NewFromDescr(&PyArray_Type, descr, axes, sizes, nullptr, nullptr, 0, nullptr);
  auto* owned = new Owned{nullptr, (std::size_t)bytes};
  try {
    owned->data = memory().take(owned->size);
  } catch (...) {
    delete owned;
    Py_DECREF((PyObject*)descr);
    PyErr_NoMemory();
    return nullptr;
  }
  PyObject* base = PyCapsule_New(owned, nullptr, free_owned);
  if (!base) {
    memory().give(owned->data, owned->size);
    delete owned;
    Py_DECREF((PyObject*)descr);
    return nullptr;
  }
  PyObject* array = PyArray_NewFromDescr(&PyArray_Type, descr, axes, sizes, strides, owned->data, NPY_ARRAY_WRITEABLE | NPY_ARRAY_ALIGNED, nullptr);
  if (!array) {
    Py_DECREF(base);
    return nullptr;
  }
  PyArray_UpdateFlags((PyArrayObject*)array, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS);
  PyArray_SetBaseObject((PyArrayObject*)array, base);
  return array;
}

// A shape as NumPy's functions take it: an integer or a sequence of them.
std::vector<npy_intp> shape_of(nb::handle shape) {
  std::vector<npy_intp> sizes;
  if (nb::isinstance<nb::int_>(shape)) sizes.push_back(nb::cast<npy_intp>(shape));
  else
    for (nb::handle one : nb::cast<nb::sequence>(shape)) sizes.push_back(nb::cast<npy_intp>(one));
  if (sizes.size() > (std::size_t)kf::most_axes) throw nb::value_error("shape: expected at most 32 axes");
  for (npy_intp one : sizes)
    if (one < 0) throw nb::value_error("shape: expected no negative sizes");
  return sizes;
}

nb::object empty(nb::object shape, nb::object dtype) {
  PyArray_Descr* descr = nullptr;
  if (!PyArray_DescrConverter(dtype.ptr(), &descr)) throw nb::python_error();
  nb::object held = nb::steal((PyObject*)descr);
  const std::vector<npy_intp> sizes = shape_of(shape);
  const int axes = (int)sizes.size();
  // Aligned whatever the size: frameworks take such memory over.
  npy_intp bytes = PyDataType_ELSIZE(descr);
  for (npy_intp one : sizes) bytes *= one;
  PyObject* result;
  if (bytes > 0 && bytes < (npy_intp)(16 << 10)) {
    const npy_intp room = bytes + 64;
    nb::object raw = nb::steal(PyArray_SimpleNew(1, (npy_intp*)&room, NPY_UINT8));
    if (!raw) throw nb::python_error();
    auto* data = (char*)PyArray_DATA((PyArrayObject*)raw.ptr());
    data += (64 - (std::uintptr_t)data % 64) % 64;
    Py_INCREF((PyObject*)descr);
    result = PyArray_NewFromDescr(&PyArray_Type, descr, axes, (npy_intp*)sizes.data(), nullptr, data, NPY_ARRAY_WRITEABLE | NPY_ARRAY_ALIGNED, nullptr);
    if (result) PyArray_SetBaseObject((PyArrayObject*)result, raw.release().ptr());
  } else {
    result = new_array(axes, sizes.data(), descr, false);
  }
  if (!result) throw nb::python_error();
  return nb::steal(result);
}

// Numbers of a float64 array, in C order.
std::vector<double> numbers(nb::handle object, int axes, std::ptrdiff_t* shape, const char* name) {
  nb::object array = nb::steal(PyArray_FROMANY(object.ptr(), NPY_DOUBLE, 0, 0, NPY_ARRAY_CARRAY_RO));
  if (!array) throw nb::python_error();
  auto* a = (PyArrayObject*)array.ptr();
  if (axes && PyArray_NDIM(a) != axes) throw nb::value_error((std::string(name) + ": expected another number of axes").c_str());
  if (shape)
    for (int i = 0; i < PyArray_NDIM(a); i++) shape[i] = PyArray_DIM(a, i);
  const auto* data = (const double*)PyArray_DATA(a);
  return {data, data + PyArray_SIZE(a)};
}

kf::Border border_of(const std::string& name) {
  const char* names[] = {"constant", "nearest", "reflect", "mirror", "wrap"};
  for (int i = 0; i < 5; i++)
    if (name == names[i]) return (kf::Border)i;
  throw nb::value_error("boundary: expected constant, nearest, reflect, mirror or wrap");
}

typedef std::pair<std::ptrdiff_t, std::ptrdiff_t> Pair;

kf::Ready* ready_of(nb::object weights, Pair before, Pair stride, Pair dilation, std::ptrdiff_t groups, const std::string& boundary,
                    double cval, nb::object factors, nb::object bias, double scale, bool up, const std::string& sums) {
  kf::Options options;
  std::ptrdiff_t shape[NPY_MAXDIMS] = {};
  if (!PyArray_Check(weights.ptr())) throw nb::type_error("weights: expected a NumPy array");
  options.axes = PyArray_NDIM((PyArrayObject*)weights.ptr());
  if (options.axes < 2 || options.axes > 4) throw nb::value_error("weights: expected two, three or four axes");
  options.weights = numbers(weights, options.axes, shape, "weights");
  kf::Correlation& job = options.job;
  const int last = options.axes - 2;
  job.rows = {shape[last], before.first, stride.first, dilation.first};
  job.columns = {shape[last + 1], before.second, stride.second, dilation.second};
  job.outputs = options.axes > 2 ? shape[0] : 1;
  job.channels = options.axes == 4 ? shape[1] : 1;
  job.groups = groups;
  if (options.weights.empty()) throw nb::value_error("weights: expected at least one");
  if (stride.first < 1 || stride.second < 1 || dilation.first < 1 || dilation.second < 1)
    throw nb::value_error("stride, dilation: expected at least 1");
  if (groups < 1 || job.outputs % groups || (groups > 1 && options.axes != 4)) throw nb::value_error("groups: expected a divisor of the output channels");
  job.border = border_of(boundary);
  job.cval = cval;
  if (!factors.is_none()) {
    if (options.axes != 2 || stride != Pair{1, 1}) throw nb::value_error("factors: expected weights (kh, kw) without a stride");
    nb::tuple both = nb::cast<nb::tuple>(factors);
    std::ptrdiff_t down[2], along[2];
    options.down = numbers(both[0], 2, down, "factors");
    options.along = numbers(both[1], 2, along, "factors");
    if (down[0] != along[0] || down[0] < 1 || down[1] != job.rows.size || along[1] != job.columns.size)
      throw nb::value_error("factors: expected columns (terms, kh) and rows (terms, kw)");
    job.terms = down[0];
  }
  if (!bias.is_none()) {
    options.bias = numbers(bias, 0, nullptr, "bias");
    if (options.bias.size() == 1 && job.outputs > 1) options.bias.resize((std::size_t)job.outputs, options.bias[0]);
    if ((std::ptrdiff_t)options.bias.size() != job.outputs) throw nb::value_error("bias: expected one number for every kernel");
  }
  job.scale = scale;
  job.up = up;
  if (sums != "float32" && sums != "float64") throw nb::value_error("sums: expected float32 or float64");
  job.sums = sums == "float32" ? kf::Type::f32 : kf::Type::f64;
  return new kf::Ready(std::move(options));
}

// Whether the memory of two arrays may overlap: the bytes from the first to the last element of each.
bool may_overlap(const kf::Array& a, const kf::Array& b) {
  auto ends = [](const kf::Array& one, const std::byte*& low, const std::byte*& high) {
    low = one.data;
    high = one.data + kf::size_of(one.type);
    for (int i = 0; i < one.axes; i++) {
      if (!one.shape[i]) return false;
      const std::ptrdiff_t reach = (one.shape[i] - 1) * one.strides[i];
      (reach < 0 ? low : high) += reach;
    }
    return true;
  };
  const std::byte *a0, *a1, *b0, *b1;
  return ends(a, a0, a1) && ends(b, b0, b1) && a0 < b1 && b0 < a1;
}

// Cache of recent correlations, keyed by array layout, options and the bytes of the kernel.
class Cache {
  struct Layout {
    int axes = -1, type = 0, flags = 0;
    npy_intp shape[4], strides[4];

    // False for what is not a plain array of few axes.
    bool read(PyObject* object) {
      if (!PyArray_CheckExact(object)) return false;
      auto* array = (PyArrayObject*)object;
      axes = PyArray_NDIM(array);
      if (axes > 4) return false;
      type = PyArray_TYPE(array);
      flags = PyArray_FLAGS(array) & (NPY_ARRAY_ALIGNED | NPY_ARRAY_WRITEABLE);
      if (!PyArray_ISNOTSWAPPED(array)) flags |= 1 << 30;
      for (int i = 0; i < axes; i++) {
        shape[i] = PyArray_DIM(array, i);
        strides[i] = PyArray_STRIDE(array, i);
      }
      return true;
    }
    bool is(const Layout& other) const {
      return axes == other.axes && type == other.type && flags == other.flags &&
             !std::memcmp(shape, other.shape, sizeof(npy_intp) * (std::size_t)std::max(axes, 0)) &&
             !std::memcmp(strides, other.strides, sizeof(npy_intp) * (std::size_t)std::max(axes, 0));
    }
  };
  struct Entry {
    Layout image, kernel, out;
    std::vector<char> weights;
    nb::object options, call;
    const kf::Ready* ready = nullptr;
    int axes = 0;
    npy_intp shape[kf::most_axes];
    nb::object descr;
    bool interleaved = false;
    std::uint64_t used = 0;
  };
  // Kernels of more bytes are not compared.
  static constexpr npy_intp largest = 1 << 16;

  std::size_t most_;
  std::vector<std::shared_ptr<Entry>> entries_;
  std::uint64_t clock_ = 0;
  nb::ft_mutex lock_;

  // Whether an option may be kept: it never changes.
  static bool is_frozen(PyObject* o) {
    if (o == Py_None || PyBool_Check(o) || PyLong_CheckExact(o) || PyFloat_CheckExact(o) || PyUnicode_CheckExact(o) || PyType_Check(o) ||
        PyArray_DescrCheck(o))
      return true;
    if (PyTuple_CheckExact(o)) {
      for (Py_ssize_t i = 0; i < PyTuple_Size(o); i++)
        if (!is_frozen(PyTuple_GetItem(o, i))) return false;
      return true;
    }
    return is_frozen_dataclass(o);
  }
  static bool is_frozen_dataclass(PyObject* o) {
    nb::object params = nb::getattr(nb::handle((PyObject*)Py_TYPE(o)), "__dataclass_params__", nb::none());
    return !params.is_none() && nb::cast<bool>(params.attr("frozen"));
  }
  // Equal and of the same type throughout: True is not 1, -0 is not 0.
  static bool same(PyObject* a, PyObject* b) {
    if (a == b) return true;
    if (Py_TYPE(a) != Py_TYPE(b)) return false;
    if (PyFloat_CheckExact(a)) {
      const double x = PyFloat_AsDouble(a), y = PyFloat_AsDouble(b);
      return !std::memcmp(&x, &y, sizeof x);
    }
    if (PyTuple_CheckExact(a)) {
      const Py_ssize_t n = PyTuple_Size(a);
      if (n != PyTuple_Size(b)) return false;
      for (Py_ssize_t i = 0; i < n; i++)
        if (!same(PyTuple_GetItem(a, i), PyTuple_GetItem(b, i))) return false;
      return true;
    }
    if (PyLong_CheckExact(a) || PyUnicode_CheckExact(a) || PyArray_DescrCheck(a) || is_frozen_dataclass(a)) {
      const int equal = PyObject_RichCompareBool(a, b, Py_EQ);
      if (equal < 0) PyErr_Clear();
      return equal == 1;
    }
    return false;
  }

 public:
  explicit Cache(std::size_t most) : most_(most) {}

  nb::object run(nb::handle image, nb::handle kernel, nb::handle out, nb::handle options) {
    Layout pixels, weights, target;
    if (!pixels.read(image.ptr()) || !weights.read(kernel.ptr()) || (!out.is_none() && !target.read(out.ptr()))) return nb::none();
    auto* array = (PyArrayObject*)kernel.ptr();
    if (!PyTuple_CheckExact(options.ptr()) || !PyArray_IS_C_CONTIGUOUS(array) || PyArray_NBYTES(array) > largest) return nb::none();
    std::shared_ptr<Entry> found;
    {
      nb::ft_lock_guard guard(lock_);
      for (auto& entry : entries_)
        if (entry->image.is(pixels) && entry->kernel.is(weights) && entry->out.is(target) &&
            !std::memcmp(entry->weights.data(), PyArray_DATA(array), entry->weights.size()) && same(entry->options.ptr(), options.ptr())) {
          entry->used = ++clock_;
          found = entry;
          break;
        }
    }
    if (!found) return nb::none();
    nb::object result;
    if (out.is_none()) {
      result = nb::steal(new_array(found->axes, found->shape, (PyArray_Descr*)found->descr.ptr(), found->interleaved));
      if (!result) throw nb::python_error();
    } else {
      result = nb::borrow(out);
    }
    if (!found->ready) {
      if (!out.is_none() && may_overlap(array_of(image.ptr(), "image", false), array_of(out.ptr(), "out", true))) return nb::none();
      found->call(image, result);
      return result;
    }
    const kf::Array from = array_of(image.ptr(), "image", false), to = array_of(result.ptr(), "out", true);
    if (!out.is_none() && may_overlap(from, to)) return nb::none();
    ::run(*found->ready, from, to);
    return result;
  }

  void keep(nb::handle image, nb::handle kernel, nb::handle out, nb::handle options, nb::object call, nb::object shape, nb::object dtype,
            bool interleaved) {
    auto entry = std::make_shared<Entry>();
    if (!entry->image.read(image.ptr()) || !entry->kernel.read(kernel.ptr()) || (!out.is_none() && !entry->out.read(out.ptr()))) return;
    auto* array = (PyArrayObject*)kernel.ptr();
    if (!PyTuple_CheckExact(options.ptr()) || !PyArray_IS_C_CONTIGUOUS(array) || PyArray_NBYTES(array) > largest || PyDataType_REFCHK(PyArray_DESCR(array)) ||
        !is_frozen(options.ptr()))
      return;
    const auto* bytes = (const char*)PyArray_DATA(array);
    entry->weights.assign(bytes, bytes + PyArray_NBYTES(array));
    entry->options = nb::borrow(options);
    entry->call = call;
    entry->ready = nb::isinstance<kf::Ready>(call) ? nb::cast<const kf::Ready*>(call) : nullptr;
    PyArray_Descr* descr = nullptr;
    if (!PyArray_DescrConverter(dtype.ptr(), &descr)) throw nb::python_error();
    entry->descr = nb::steal((PyObject*)descr);
    const std::vector<npy_intp> sizes = shape_of(shape);
    entry->axes = (int)sizes.size();
    std::copy(sizes.begin(), sizes.end(), entry->shape);
    entry->interleaved = interleaved && entry->axes >= 3;
    if (entry->ready) {
      // A kept correlation is run unchecked.
      kf::Array from = array_of(image.ptr(), "image", false), to = from;
      if (out.is_none()) {
        nb::object one = nb::steal(new_array(entry->axes, entry->shape, (PyArray_Descr*)entry->descr.ptr(), entry->interleaved));
        if (!one) throw nb::python_error();
        to = array_of(one.ptr(), "out", true);
        check(*entry->ready, from, to);
      } else {
        to = array_of(out.ptr(), "out", true);
        check(*entry->ready, from, to);
      }
    }
    std::shared_ptr<Entry> oldest;
    nb::ft_lock_guard guard(lock_);
    entry->used = ++clock_;
    if (entries_.size() < most_) {
      entries_.push_back(std::move(entry));
    } else if (most_) {
      auto first = std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) { return a->used < b->used; });
      oldest = std::exchange(*first, std::move(entry));
    }
  }

  void clear() {
    std::vector<std::shared_ptr<Entry>> old;
    nb::ft_lock_guard guard(lock_);
    old.swap(entries_);
  }
  std::size_t size() const { return entries_.size(); }
};

// One plane, or a tuple of some of one size, each with its shift or all with one.
std::vector<kf::Shifted> shifted_of(nb::handle value, nb::handle shift, const char* name) {
  std::vector<kf::Shifted> planes;
  auto add = [&](nb::handle one, double less) {
    const kf::Array array = array_of(one.ptr(), name, false);
    if (array.axes != 2) throw nb::value_error((std::string(name) + ": expected two axes").c_str());
    const kf::Planes plane{array.data, array.type, 1, array.shape[0], array.shape[1], 0, array.strides[0], array.strides[1]};
    if (!planes.empty() && (plane.rows != planes[0].planes.rows || plane.columns != planes[0].planes.columns))
      throw nb::value_error((std::string(name) + ": expected planes of one size").c_str());
    planes.push_back({plane, less});
  };
  if (!nb::isinstance<nb::tuple>(value)) {
    add(value, nb::cast<double>(shift));
    return planes;
  }
  const nb::tuple values = nb::borrow<nb::tuple>(value);
  const bool each = nb::isinstance<nb::tuple>(shift);
  if (!values.size() || (each && nb::len(shift) != values.size()))
    throw nb::value_error((std::string(name) + ": expected at least one plane, and as many shifts or one number").c_str());
  for (std::size_t i = 0; i < values.size(); i++) add(values[i], nb::cast<double>(each ? nb::object(shift[i]) : nb::borrow(shift)));
  return planes;
}

nb::object lag_products(nb::object a, nb::object b, Pair lags, std::ptrdiff_t block_rows, nb::object a_shift, nb::object b_shift,
                        bool single) {
  const std::vector<kf::Shifted> first = shifted_of(a, a_shift, "a"), second = shifted_of(b, b_shift, "b");
  if (lags.first < 0 || lags.second < 0 || block_rows < 1) throw nb::value_error("lags, block_rows: expected at least 0 and 1");
  const kf::Planes &anchors = first[0].planes, &around = second[0].planes;
  const std::ptrdiff_t rows = anchors.rows, blocks = (rows + block_rows - 1) / block_rows;
  const auto firsts = (std::ptrdiff_t)first.size(), seconds = (std::ptrdiff_t)second.size();
  const std::ptrdiff_t each = firsts * seconds * lags.first * lags.second;
  const bool several = nb::isinstance<nb::tuple>(a) || nb::isinstance<nb::tuple>(b);
  const npy_intp shape[5] = {blocks, firsts, seconds, lags.first, lags.second}, plain[3] = {blocks, lags.first, lags.second};
  nb::object out = nb::steal(PyArray_ZEROS(several ? 5 : 3, (npy_intp*)(several ? shape : plain), NPY_DOUBLE, 0));
  if (!out) throw nb::python_error();
  if (!blocks || !each || !anchors.columns) return out;
  if (around.rows < rows + lags.first - 1 || around.columns < anchors.columns + lags.second - 1)
    throw nb::value_error("b: expected as many rows and columns as a, and those of the lags less one");
  const kf::Lags job{first.data(), second.data(), firsts, seconds, lags.first, lags.second, single};
  auto* sums = (double*)PyArray_DATA((PyArrayObject*)out.ptr());
  const kf::Table& table = kf::table();
  const double work = (double)rows * (double)anchors.columns * (double)each;
  bool whole = true;
  {
    nb::gil_scoped_release released;
    // Parts of a block are added in order: results do not depend on threads.
    const std::ptrdiff_t parts = std::clamp<std::ptrdiff_t>((std::ptrdiff_t)(work / (double)blocks / 4e7), 1, std::max<std::ptrdiff_t>(1, std::min(block_rows, rows) / 32));
    const std::ptrdiff_t high = ((std::min(block_rows, rows) + parts - 1) / parts + 31) / 32 * 32;
    std::vector<double> partial((std::size_t)(blocks * parts * each));
    auto item = [&](std::ptrdiff_t i) {
      const std::ptrdiff_t block = i / parts, end = std::min((block + 1) * block_rows, rows);
      const std::ptrdiff_t begin = block * block_rows + i % parts * high;
      if (begin < end) table.lags(job, begin, std::min(begin + high, end), partial.data() + i * each);
    };
    if (work < 2e6)
      for (std::ptrdiff_t i = 0; i < blocks * parts; i++) item(i);
    else whole = kf::parallel(blocks * parts, item, interrupted);
    for (std::ptrdiff_t i = 0; whole && i < blocks * parts; i++)
      for (std::ptrdiff_t j = 0; j < each; j++) sums[i / parts * each + j] += partial[(std::size_t)(i * each + j)];
  }
  if (!whole) throw nb::python_error();
  return out;
}

nb::object window_products(nb::object before, nb::object after, nb::object chosen, Pair size, nb::object before_shift,
                           double after_shift) {
  const std::vector<kf::Shifted> first = shifted_of(before, before_shift, "before");
  const kf::Shifted second = shifted_of(after, nb::float_(after_shift), "after")[0];
  const kf::Array mask = array_of(chosen.ptr(), "chosen", false);
  if (mask.axes != 2) throw nb::value_error("chosen: expected two axes");
  if (size.first < 1 || size.second < 1) throw nb::value_error("size: expected at least 1");
  const std::ptrdiff_t rows = second.planes.rows, columns = second.planes.columns, count = (std::ptrdiff_t)first.size();
  const std::ptrdiff_t q = count * size.first * size.second + 2;
  if (first[0].planes.rows < rows + size.first - 1 || first[0].planes.columns < columns + size.second - 1)
    throw nb::value_error("before: expected as many rows and columns as after, and those of the size less one");
  if (mask.type != kf::Type::u8 || mask.shape[0] != rows || mask.shape[1] != columns ||
      (rows && columns && (mask.strides[1] != 1 || (rows > 1 && mask.strides[0] != columns))))
    throw nb::value_error("chosen: expected bytes without gaps, of the shape of after");
  const npy_intp shape[2] = {q, q};
  nb::object out = nb::steal(PyArray_ZEROS(2, (npy_intp*)shape, NPY_DOUBLE, 0));
  if (!out) throw nb::python_error();
  const kf::Windows job{first.data(), count, second, mask.data, size.first, size.second};
  auto* sums = (double*)PyArray_DATA((PyArrayObject*)out.ptr());
  const kf::Table& table = kf::table();
  bool whole = true;
  {
    nb::gil_scoped_release released;
    // Parts are added in order, and do not depend on threads; sums of large windows take much memory.
    const std::ptrdiff_t parts = std::clamp<std::ptrdiff_t>((1 << 22) / (q * q), 1, std::clamp<std::ptrdiff_t>(rows / 32, 1, 16));
    const std::ptrdiff_t high = (rows + parts - 1) / parts;
    std::vector<double> partial((std::size_t)(parts * q * q));
    auto item = [&](std::ptrdiff_t i) {
      const std::ptrdiff_t begin = i * high, end = std::min(begin + high, rows);
      if (begin < end) table.windows(job, begin, end, partial.data() + i * q * q);
    };
    whole = kf::parallel(parts, item, interrupted);
    for (std::ptrdiff_t i = 0; whole && i < parts; i++)
      for (std::ptrdiff_t j = 0; j < q * q; j++) sums[j] += partial[(std::size_t)(i * q * q + j)];
    for (std::ptrdiff_t i = 0; i < q; i++)
      for (std::ptrdiff_t j = 0; j < i; j++) sums[i * q + j] = sums[j * q + i];
  }
  if (!whole) throw nb::python_error();
  return out;
}

void use(const std::string& name) {
  if (kf::use(name.c_str())) return;
  std::string there;
  for (const kf::Table* one : kf::tables()) there += (there.empty() ? "" : ", ") + std::string(one->name);
  throw nb::value_error(("name: expected one of " + there + "; received '" + name + "'").c_str());
}

}  // namespace

NB_MODULE(_core, m) {
  if (_import_array() < 0) throw nb::python_error();
  // The plan's cache outlives the interpreter's last collection.
  nb::set_leak_warnings(false);

  nb::class_<kf::Ready>(m, "Correlation")
      .def(nb::new_(&ready_of), "weights"_a, nb::kw_only(), "before"_a = Pair{0, 0}, "stride"_a = Pair{1, 1}, "dilation"_a = Pair{1, 1},
           "groups"_a = 1, "boundary"_a = "constant", "cval"_a = 0.0, "factors"_a = nb::none(), "bias"_a = nb::none(), "scale"_a = 1.0,
           "up"_a = false, "sums"_a = "float32")
      .def("__call__",
           [](const kf::Ready& self, nb::handle image, nb::handle out) {
             const kf::Array from = array_of(image.ptr(), "image", false), to = array_of(out.ptr(), "out", true);
             check(self, from, to);
             run(self, from, to);
           },
           "image"_a, "out"_a)
      .def("certain", [](const kf::Ready& self, nb::handle image, nb::handle out) {
        const kf::Array from = array_of(image.ptr(), "image", false), to = array_of(out.ptr(), "out", false);
        return std::make_pair(std::string(self.sums(from.type, to.type) == kf::Type::f32 ? "float32" : "float64"), (double)self.doubt(from.type, to.type));
      }, "image"_a, "out"_a);

  nb::class_<Cache>(m, "Cache")
      .def(nb::init<std::size_t>(), "most"_a = 32)
      .def("run", &Cache::run, "image"_a.none(), "kernel"_a.none(), "out"_a.none(), "options"_a.none())
      .def("keep", &Cache::keep, "image"_a, "kernel"_a, "out"_a.none(), "options"_a, "call"_a, "shape"_a, "dtype"_a, "interleaved"_a = false)
      .def("clear", &Cache::clear)
      .def("__len__", &Cache::size);

  m.def("lag_products", &lag_products, "a"_a, "b"_a, "lags"_a, "block_rows"_a, "a_shift"_a = nb::float_(0.0), "b_shift"_a = nb::float_(0.0),
        "single"_a = false);
  m.def("window_products", &window_products, "before"_a, "after"_a, "chosen"_a, "size"_a,
        "before_shift"_a = nb::float_(0.0), "after_shift"_a = 0.0);
  m.def("empty", &empty, "shape"_a, "dtype"_a);
  m.def("instruction_set", [] { return std::string(kf::table().name); });
  m.def("instruction_sets", [] {
    std::vector<std::string> names;
    for (const kf::Table* one : kf::tables()) names.emplace_back(one->name);
    return names;
  });
  m.def("use", &use, "name"_a);
  m.def("peak", [](double seconds) {
    nb::gil_scoped_release released;
    double best = 0;
    const auto begin = std::chrono::steady_clock::now();
    for (auto now = begin; std::chrono::duration<double>(now - begin).count() < seconds;) {
      const double n = (double)kf::table().multiply_adds(1 << 14);
      const auto end = std::chrono::steady_clock::now();
      best = std::max(best, n / std::chrono::duration<double>(end - now).count());
      now = end;
    }
    return best;
  }, "seconds"_a = 0.1);
  m.def("fuses", [] { return kf::table().fused; });
  m.def("set_threads", [](int n) {
    if (n < 1) throw nb::value_error("n: expected at least 1");
    kf::set_threads(n);
  }, "n"_a);
  m.def("threads", [] { return kf::threads(); });
}
