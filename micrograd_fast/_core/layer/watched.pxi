# Attributes that a fused layer relies on: who reads or assigns them is noted.

cdef extern from "Python.h":
    void *generic_getattro "PyObject_GenericGetAttr"
    PyObject *type_lookup "_PyType_Lookup"(PyTypeObject *, PyObject *)


cdef dict attributes_of(object module):
    return <dict>adopt(generic_dict(<PyObject *>module, NULL))


def instance_dict(module):
    """The attributes of a module, for its ``__dict__``."""
    structure_changed()
    return attributes_of(module)


cdef class watched:
    """An attribute that is kept in the instance's dict as any other, and whose changes are known.

    A list that is handed out could be changed by whoever has it, through whatever function: that
    counts as a change.

    Parameters
    ----------
    default : object, optional
        What an instance has that was given none.
    """

    cdef str name
    cdef object default

    def __init__(self, default=MISSING):
        self.default = default
        self.name = ""

    def __set_name__(self, owner, name):
        self.name = sys.intern(name)

    cdef object look_up(self, object module):
        cdef PyObject *found
        attributes = attributes_of(module)
        found = dict_get(<PyObject *>attributes, <PyObject *>self.name)
        if found != NULL:
            return <object>found
        if self.default is MISSING:
            raise AttributeError(
                f"{type(module).__name__!r} object has no attribute {self.name!r}",
                name=self.name, obj=module,
            )
        return self.default

    def __get__(self, module, owner):
        if module is None:
            if self.default is MISSING:
                raise AttributeError(
                    f"type object {owner.__name__!r} has no attribute {self.name!r}"
                )
            return self.default
        found = self.look_up(module)
        if isinstance(found, list):
            structure_changed()
        return found

    def __set__(self, module, content):
        # What was there before may do anything when it goes.
        structure_changed()
        attributes_of(module)[self.name] = content
        structure_changed()

    def __delete__(self, module):
        structure_changed()
        attributes = attributes_of(module)
        if self.name not in attributes:
            raise AttributeError(self.name, name=self.name, obj=module)
        del attributes[self.name]
        structure_changed()


cdef object getattr_static(object kind, str name):
    """What a class or one of its bases has under a name, or None."""
    cdef PyObject *found = type_lookup(<PyTypeObject *><PyObject *>kind, <PyObject *>name)
    return None if found == NULL else <object>found


def glance(module, name):
    """``getattr`` for who neither keeps nor changes what there is."""
    entry = getattr_static(type(module), name)
    if type(entry) is watched and Py_TYPE(<PyObject *>module).tp_getattro == generic_getattro:
        return (<watched>entry).look_up(module)
    return getattr(module, name)
