/* Memory: decisions in every case, estimates, and what is read of the machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fs.h"
#include "helper/testing.h"
#include "orchestrator/memory.h"

#define MIB (UINT64_C(1) << 20)

enum { ITEMS_MAX = 8 };

static void test_verdicts(void **state)
{
    (void)state;
    const struct memory_budget budget = {.most = 1000, .now = 800};
    const struct memory_item items[] = {
        {.bytes = 200, .last_use = 3, .idle = true},
        {.bytes = 300, .last_use = 1, .idle = false},
        {.bytes = 100, .last_use = 2, .idle = true},
    };
    bool evict[3];
    assert_int_equal(memory_decide(&budget, 200, items, 3, evict), MEMORY_FITS);
    assert_false(evict[0] || evict[1] || evict[2]);
    assert_int_equal(memory_decide(&budget, 300, items, 3, evict), MEMORY_EVICT);
    assert_true(!evict[0] && !evict[1] && evict[2]);
    assert_int_equal(memory_decide(&budget, 500, items, 3, evict), MEMORY_EVICT);
    assert_true(evict[0] && !evict[1] && evict[2]);
    assert_int_equal(memory_decide(&budget, 501, items, 3, evict), MEMORY_WAIT);
    assert_false(evict[0] || evict[1] || evict[2]);
    assert_int_equal(memory_decide(&budget, 801, items, 3, evict), MEMORY_SHORT);
    assert_int_equal(memory_decide(&budget, 1001, items, 3, evict), MEMORY_NEVER);
    assert_int_equal(memory_decide(&budget, 800, items, 0, evict), MEMORY_FITS);
    assert_int_equal(memory_decide(&budget, UINT64_MAX, items, 3, evict), MEMORY_NEVER);
}

static void test_what_is_not_needed_is_kept(void **state)
{
    (void)state;
    const struct memory_budget budget = {.most = 1000, .now = 1000};
    const struct memory_item items[] = {
        {.bytes = 100, .last_use = 1, .idle = true},
        {.bytes = 700, .last_use = 2, .idle = true},
        {.bytes = 200, .last_use = 3, .idle = true},
    };
    bool evict[3];
    /* The oldest alone is not enough, the next alone is: the oldest need not go. */
    assert_int_equal(memory_decide(&budget, 600, items, 3, evict), MEMORY_EVICT);
    assert_true(!evict[0] && evict[1] && !evict[2]);
}

/* Over random tables: a verdict keeps what it promises, and EVICT is given whenever ending idle items is enough. */
static void test_random_tables(void **state)
{
    (void)state;
    struct testing_random random;
    testing_seed(&random);
    int seen[5] = {0};
    for (int round = 0; round < 20000; round++) {
        struct memory_item items[ITEMS_MAX];
        bool evict[ITEMS_MAX];
        size_t count = testing_below(&random, ITEMS_MAX + 1);
        uint64_t used = 0;
        uint64_t idle = 0;
        for (size_t i = 0; i < count; i++) {
            items[i] = (struct memory_item){.bytes = testing_below(&random, 300),
                                            .last_use = testing_below(&random, 5),
                                            .idle = testing_below(&random, 2) == 0};
            used += items[i].bytes;
            idle += items[i].idle ? items[i].bytes : 0;
        }
        uint64_t most = testing_below(&random, 1500);
        const struct memory_budget budget = {.most = most, .now = testing_below(&random, most + 1)};
        uint64_t need = testing_below(&random, 1000);
        enum memory_verdict verdict = memory_decide(&budget, need, items, count, evict);
        seen[verdict]++;
        uint64_t freed = 0;
        for (size_t i = 0; i < count; i++) {
            assert_true(!evict[i] || items[i].idle);
            freed += evict[i] ? items[i].bytes : 0;
        }
        enum memory_verdict expected = need > budget.most                 ? MEMORY_NEVER
                                       : used + need <= budget.now        ? MEMORY_FITS
                                       : need > budget.now                ? MEMORY_SHORT
                                       : used - idle + need <= budget.now ? MEMORY_EVICT
                                                                          : MEMORY_WAIT;
        assert_int_equal(verdict, expected);
        if (verdict != MEMORY_EVICT) {
            assert_int_equal(freed, 0);
            continue;
        }
        assert_true(used - freed + need <= budget.now);
        for (size_t i = 0; i < count; i++) /* each that goes is needed */
            if (evict[i] && items[i].bytes > 0)
                assert_true(used - freed + items[i].bytes + need > budget.now);
    }
    for (int i = 0; i < 5; i++)
        assert_true(seen[i] > 0);
}

static void test_budget(void **state)
{
    (void)state;
    const struct memory_machine machine = {.total = 16000, .available = 5000};
    struct memory_budget budget = memory_budget(&machine, 0, 500, 3000, 8000);
    assert_int_equal(budget.most, 15500);
    assert_int_equal(budget.now, 7500); /* 8000 without models, less the reserve */
    budget = memory_budget(&machine, 0, 500, 3000, 10000);
    assert_int_equal(budget.now, 7500); /* others took 2000 since */
    budget = memory_budget(&machine, 6000, 500, 3000, 8000);
    assert_int_equal(budget.most, 6000);
    assert_int_equal(budget.now, 6000);
    budget = memory_budget(&machine, 0, 20000, 0, 5000);
    assert_int_equal(budget.most, 0);
    assert_int_equal(budget.now, 0);
    const struct memory_machine unknown = {.total = UINT64_MAX, .available = UINT64_MAX};
    budget = memory_budget(&unknown, 1000, 500, 3000, UINT64_MAX);
    assert_int_equal(budget.now, 1000);
}

static void write_file(const char *root, const char *path, const char *text)
{
    char *full = testing_path(root, path);
    *strrchr(full, '/') = '\0';
    assert_true(fs_make_dirs(full, NULL));
    free(full);
    free(testing_file(root, path, text, strlen(text)));
}

static void test_machine(void **state)
{
    (void)state;
    char *root = testing_directory();
    struct memory_machine machine;
    memory_measure(root, &machine);
    assert_true(machine.total == UINT64_MAX && machine.available == UINT64_MAX);

    write_file(root, "proc/meminfo",
               "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:    9000000 kB\n");
    memory_measure(root, &machine);
    assert_int_equal(machine.total, UINT64_C(16000000) * 1024);
    assert_int_equal(machine.available, UINT64_C(9000000) * 1024);

    /* A group with no limit of its own, in one that has. */
    write_file(root, "proc/self/cgroup", "1:name=systemd:/x\n0::/user/session\n");
    write_file(root, "sys/fs/cgroup/user/session/memory.max", "max\n");
    write_file(root, "sys/fs/cgroup/user/session/memory.current", "5\n");
    write_file(root, "sys/fs/cgroup/user/memory.max", "4000000000\n");
    write_file(root, "sys/fs/cgroup/user/memory.current", "3000000000\n");
    write_file(root, "sys/fs/cgroup/user/memory.stat", "anon 7\ninactive_file 500000000\n");
    memory_measure(root, &machine);
    assert_int_equal(machine.total, UINT64_C(4000000000));
    assert_int_equal(machine.available, UINT64_C(1500000000));

    /* A container sees its own group as the root. */
    write_file(root, "proc/self/cgroup", "0::/\n");
    write_file(root, "sys/fs/cgroup/memory.max", "1000000000\n");
    write_file(root, "sys/fs/cgroup/memory.current", "1200000000\n");
    memory_measure(root, &machine);
    assert_int_equal(machine.total, UINT64_C(1000000000));
    assert_int_equal(machine.available, 0);
    testing_remove(root);

    memory_measure("", &machine); /* this one */
    assert_true(machine.total < UINT64_MAX && machine.available <= machine.total);
}

static void test_format(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 MiB"},
                 {1, "1 MiB"},
                 {512 * MIB, "512 MiB"},
                 {1024 * MIB, "1.0 GiB"},
                 {3174 * MIB, "3.1 GiB"},
                 {100 * 1024 * MIB, "100.0 GiB"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[MEMORY_TEXT];
        memory_format(cases[i].bytes, text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),      cmocka_unit_test(test_what_is_not_needed_is_kept),
        cmocka_unit_test(test_random_tables), cmocka_unit_test(test_budget),
        cmocka_unit_test(test_machine),       cmocka_unit_test(test_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
