# The front door: each target prepares what it needs (tools/prepare) and hands on to Meson, Ninja or a script of tools/.
# JOBS=N limits the number of processes at a time.

.PHONY: build help demo test lint asan tsan fuzz bench install clean distclean

export PREFIX DESTDIR FUZZ_SECONDS

NINJA = ninja $(if $(JOBS),-j$(JOBS))
RUN_TESTS = $(if $(JOBS),MESON_TESTTHREADS=$(JOBS)) tools/run_tests
# Warnings are errors in build/ alone (see tools/prepare): instrumented code makes the compiler see things.
# Each test that a sanitizer slows down has this many times its usual deadline.
ASAN_TIMES = 4
TSAN_TIMES = 8

build:
	@tools/prepare build
	@tools/configure build native.ini
	@$(NINJA) -C build jarvis

help:
	@echo 'make build     build/jarvis'
	@echo 'make demo      index real documents and ask two questions'
	@echo 'make test      every test; the last line is: N passed, N failed, N skipped'
	@echo 'make lint      formatting, layers, banned functions, translations, static analysis'
	@echo 'make asan      the tests under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make tsan      the tests under ThreadSanitizer'
	@echo 'make fuzz      each fuzz target for FUZZ_SECONDS (10)'
	@echo 'make bench     measurements'
	@echo 'make install   with PREFIX (/usr/local) and DESTDIR as usual'
	@echo 'make clean     removes the build folders; make distclean: also the libraries of tools/sysroot'

demo:
	@JOBS='$(JOBS)' tools/demo

test:
	@tools/prepare test
	@tools/configure build native.ini
	@$(NINJA) -C build
	@$(RUN_TESTS) build

lint:
	@tools/prepare lint
	@tools/configure build native.ini
	@tools/lint

asan:
	@tools/prepare test
	@tools/configure build-asan native.ini -Dwerror=false -Doptimization=1 -Dc_args=-fno-omit-frame-pointer \
	    -Db_sanitize=address,undefined
	@$(NINJA) -C build-asan
	@ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:abort_on_error=0 \
	    LSAN_OPTIONS=suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0 \
	    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	    $(RUN_TESTS) build-asan --timeout-multiplier $(ASAN_TIMES)

tsan:
	@tools/prepare test
	@tools/configure build-tsan native.ini -Dwerror=false -Doptimization=1 -Dc_args=-fno-omit-frame-pointer -Db_sanitize=thread
	@$(NINJA) -C build-tsan
	@TSAN_OPTIONS=suppressions=$(CURDIR)/tests/tsan.supp:halt_on_error=0:exitcode=66:second_deadlock_stack=1 \
	    $(RUN_TESTS) build-tsan --timeout-multiplier $(TSAN_TIMES)

fuzz:
	@tools/prepare fuzz
	@tools/configure build-fuzz native-clang.ini -Dwerror=false -Dfuzz=true -Dtests=false -Doptimization=1 \
	    -Db_sanitize=address,undefined
	@$(NINJA) -C build-fuzz
	@tools/fuzz build-fuzz

bench: build
	@$(NINJA) -C build
	@meson test -C build --no-rebuild --benchmark --verbose

install:
	@tools/install

clean:
	rm -rf build build-*

distclean: clean
	rm -rf .sysroot .deps .demo
