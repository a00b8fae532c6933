/* eviction.pml - the protocol by which models make room for each other, for the model checker spin.
 *
 * What is modelled: src/orchestrator/scheduler.c with its world around it. MODELS of different size share a budget
 * that does not hold all of them. CLIENTS ask for any model, use it, and give it back, for ever. Loads and the ends of
 * processes take any time, and loads may fail. Everything under the registry's lock is one atomic step here.
 *
 * What is proved, for every interleaving of these clients and models (tests/spin/check):
 *   budget     a load starts only where it fits beside all that processes hold, those that are ending included
 *              (assert in start())
 *   busy       no model is evicted that somebody uses (assert in evict())
 *   leases     no lease is given on what is not loaded (assert in grant())
 *   overtakes  nobody who waits for memory is passed more often than OVERTAKES times (assert in plan())
 *   deadlock   there is no state in which all wait (invalid end states)
 *   served     under weak fairness (what can go on for ever does go on some time) client 0, whoever it is, gets an
 *              answer to each of its requests: ltl
 *
 * What is left out: deadlines, time to live, pins, changing budgets, several devices and shapes, which victim is the
 * cheapest (any idle one may go here, so that the proof holds for every choice); a model whose turn it is drains all
 * others and not only those in its way, and the time after which it gives up draining is not modelled: leases end here.
 * The random worlds of test_scheduler_random.c try what is left out.
 */
#define MODELS    4
#define CLIENTS   3
#define BUDGET    3
#define OVERTAKES 2
#define NOBODY    255

mtype = { COLD, QUEUED, CLAIMING, LOADING, READY, UNLOADING };

mtype state[MODELS];
byte size[MODELS];
byte leases[MODELS];
byte overtaken[MODELS];
byte queue[MODELS]; /* models that wait for memory, in order of arrival */
byte waiting = 0;   /* of them */
byte held = 0;      /* by processes */
byte committed = 0; /* when everything that was decided has happened */
bool turn = false;  /* somebody was passed often enough */
byte wants[CLIENTS];   /* the model that it waits for, or NOBODY */
byte using[CLIENTS];   /* the model that it has a lease on, or NOBODY */

hidden byte i, k, n, m, idle;

inline start(model) {
    assert(held + size[model] <= BUDGET);
    held = held + size[model];
    state[model] = LOADING;
}

inline evict(model) {
    assert(state[model] == READY && leases[model] == 0);
    state[model] = UNLOADING;
    committed = committed - size[model];
}

inline grant(client, model) {
    assert(state[model] == READY);
    leases[model]++;
    using[client] = model;
    wants[client] = NOBODY;
}

/* All who wait for a loaded model get it. */
inline grant_all(model) {
    n = 0;
    do
    :: n < CLIENTS ->
        if
        :: wants[n] == model -> grant(n, model)
        :: else
        fi;
        n++
    :: else -> break
    od
}

/* What idle models would leave. */
inline sum_idle() {
    idle = 0;
    n = 0;
    do
    :: n < MODELS ->
        if
        :: state[n] == READY && leases[n] == 0 -> idle = idle + size[n]
        :: else
        fi;
        n++
    :: else -> break
    od
}

/* Takes the model at place k out of the queue; those before it were passed. */
inline take_out() {
    overtaken[queue[k]] = 0;
    n = 0;
    do
    :: n < k ->
        overtaken[queue[n]]++;
        assert(overtaken[queue[n]] <= OVERTAKES);
        n++
    :: else -> break
    od;
    n = k;
    do
    :: n + 1 < waiting -> queue[n] = queue[n + 1]; n++
    :: else -> break
    od;
    waiting--;
    queue[waiting] = 0
}

inline place(model) {
    take_out();
    do
    :: committed + size[model] > BUDGET -> /* any idle one */
        if
        :: state[0] == READY && leases[0] == 0 -> evict(0)
        :: state[1] == READY && leases[1] == 0 -> evict(1)
        :: state[2] == READY && leases[2] == 0 -> evict(2)
        :: state[3] == READY && leases[3] == 0 -> evict(3)
        fi
    :: else -> break
    od;
    committed = committed + size[model];
    if
    :: held + size[model] <= BUDGET -> start(model)
    :: else -> state[model] = CLAIMING
    fi
}

inline plan() {
    i = 0;
    do
    :: i < MODELS ->
        if
        :: state[i] == CLAIMING && held + size[i] <= BUDGET -> start(i)
        :: else
        fi;
        i++
    :: else -> break
    od;
    turn = false;
    k = 0;
    do
    :: k < waiting ->
        m = queue[k];
        sum_idle();
        if
        :: !turn && committed + size[m] <= BUDGET + idle -> place(m)
        :: else ->
            turn = turn || overtaken[m] >= OVERTAKES;
            k++
        fi
    :: else -> break
    od;
    i = 0;
    do
    :: i < MODELS && state[i] == READY && !turn -> grant_all(i); i++
    :: i < MODELS && !(state[i] == READY && !turn) -> i++
    :: i >= MODELS -> break
    od;
    i = 0; k = 0; n = 0; m = 0; idle = 0
}

inline enqueue(model) {
    state[model] = QUEUED;
    queue[waiting] = model;
    waiting++
}

inline request(client, model) {
    if
    :: state[model] == READY && !turn ->
        grant(client, model);
        n = 0;
        do
        :: n < waiting && overtaken[queue[n]] < OVERTAKES -> overtaken[queue[n]]++; n++
        :: n < waiting && overtaken[queue[n]] >= OVERTAKES -> n++
        :: n >= waiting -> break
        od
    :: else ->
        wants[client] = model;
        if
        :: state[model] == COLD -> enqueue(model)
        :: else
        fi
    fi;
    plan()
}

proctype client(byte id) {
    byte model;
end:
    do
    :: atomic {
           if
           :: model = 0
           :: model = 1
           :: model = 2
           :: model = 3
           fi;
           request(id, model)
       };
       wants[id] == NOBODY; /* granted, or refused because the load failed */
       atomic {
           if
           :: using[id] != NOBODY ->
               model = using[id];
               using[id] = NOBODY;
               leases[model]--;
               plan()
           :: else
           fi;
           model = 0
       }
    od
}

/* Whether somebody waits for the model while it is cold: then it gets into the queue. */
inline want_again(model) {
    n = 0;
    do
    :: n < CLIENTS && wants[n] == model && state[model] == COLD -> enqueue(model); n++
    :: n < CLIENTS && !(wants[n] == model && state[model] == COLD) -> n++
    :: n >= CLIENTS -> break
    od
}

/* The process of one model: it is loaded, fails, ends. */
proctype world(byte model) {
end:
    do
    :: atomic { state[model] == LOADING ->
           state[model] = READY;
           grant_all(model);
           plan()
       }
    :: atomic { state[model] == LOADING -> /* fails: whoever waits is refused */
           state[model] = COLD;
           held = held - size[model];
           committed = committed - size[model];
           n = 0;
           do
           :: n < CLIENTS && wants[n] == model -> wants[n] = NOBODY; n++
           :: n < CLIENTS && wants[n] != model -> n++
           :: n >= CLIENTS -> break
           od;
           plan()
       }
    :: atomic { state[model] == UNLOADING ->
           state[model] = COLD;
           held = held - size[model];
           want_again(model);
           plan()
       }
    od
}

init {
    atomic {
        size[0] = 1; size[1] = 1; size[2] = 2; size[3] = 3;
        state[0] = COLD; state[1] = COLD; state[2] = COLD; state[3] = COLD;
        wants[0] = NOBODY; wants[1] = NOBODY; wants[2] = NOBODY;
        using[0] = NOBODY; using[1] = NOBODY; using[2] = NOBODY;
        run world(0); run world(1); run world(2); run world(3);
        run client(0); run client(1); run client(2)
    }
}

ltl served { [] ((wants[0] != NOBODY) -> <> (wants[0] == NOBODY)) }
