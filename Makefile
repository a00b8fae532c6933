# The front door. Each target prepares what it needs (tools/prepare); the build itself is Meson's.
.PHONY: build help demo test lint asan tsan fuzz bench install clean

# meson and ninja choose how many jobs; JOBS=N limits them.
NINJA = ninja $(if $(JOBS),-j$(JOBS))

build:
	@tools/prepare build
	@tools/configure build native.ini -Dwerror=true
	@$(NINJA) -C build

test:
	@tools/prepare test
	@tools/configure build native.ini -Dwerror=true
	@$(NINJA) -C build
	@tools/run_tests build

lint:
	@tools/prepare lint
	@tools/configure build native.ini -Dwerror=true
	@$(NINJA) -C build po/lang_es.c
	@tools/lint

help:
	@echo 'make build     build/jarvis'
	@echo 'make demo      index real documents and ask two questions'
	@echo 'make test      every test'
	@echo 'make lint      formatting, layers, static analysis'
	@echo 'make asan      the tests under AddressSanitizer and UBSan'
	@echo 'make tsan      the tests under ThreadSanitizer'
	@echo 'make fuzz      each fuzz target for FUZZ_SECONDS (10)'
	@echo 'make bench     measurements'
	@echo 'make install   DESTDIR and PREFIX (/usr/local) as usual'
	@echo 'make clean     remove the build folders; make distclean: the libraries too'

clean:
	rm -rf build build-*

distclean: clean
	rm -rf .sysroot .deps .demo
