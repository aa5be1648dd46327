/* The fence protocol of one FIFO message group, for spin: `make model` searches every order of its calls.
 *
 * consumer.pml  the consumer                        retry.pml   the retry machine and its function
 * redrive.pml   a redrive run                       people.pml  operators and the sweep
 * world.pml     the producer, SQS, time, and the end, when people act until nothing is left
 *
 * One d_step is one AWS call, under the condition that the code gives it; a read is one too. Its @name is a row of
 * transitions.toml, which says where the code or ASL has that condition. Whatever may go wrong is a budget below, and spin
 * spends it anywhere. Time is no clock: a lease, a window or a timeout ends whenever it may.
 *
 * What must hold is in `promises`, `have_effect` and world.pml's Healer. -DMUTANT_… takes one condition away: spin must find that.
 */
#ifndef N
#define N 3             /* messages of the group */
#endif
#ifndef BATCH
#define BATCH 2         /* records of a worker's batch, and of a run's */
#endif
#ifndef NW
#define NW 1            /* workers at once; 2 only with OVERLAP */
#endif
#ifndef NX
#define NX 2            /* executions of the retry machine at once: 1 or 2 */
#endif
#ifndef NR
#define NR 1            /* redrive runs before the end */
#endif
#ifndef LANES
#define LANES 1         /* lanes of the first run, side by side: 1 or 2; each other run has one */
#endif
/* Budgets. With TROUBLES one budget is all of those that follow, but FAILS and OVERLAP: so many in all, of whatever kind */
#ifndef TROUBLES
#define TROUBLES 0
#endif
#ifndef CRASH
#define CRASH 1         /* a worker, execution, run or operator stops between two calls */
#endif
#ifndef LOST
#define LOST 0          /* a call is done, its answer is lost, and it is tried again */
#endif
#ifndef NATIVE
#define NATIVE 0        /* SQS's own redrive moves a dead letter */
#endif
#ifndef OPS
#define OPS 0           /* a person retries, discards or, with EDIT, edits */
#endif
#ifndef FAILS
#define FAILS 2         /* a try of a message fails */
#endif
#ifndef SLOW
#define SLOW 0          /* a run's dead letters become visible, or its lock's lease ends, while it works */
#endif
#ifndef SWEEPS
#define SWEEPS 0        /* sweeps that begin although there is nothing to do */
#endif
#ifndef ZOMBIE
#define ZOMBIE 0        /* an execution is stopped, and redriven later */
#endif
#ifndef GHOSTS
#define GHOSTS TROUBLES /* ProcessMessage's function goes on although its execution does not wait for it */
#endif
#ifndef OVERLAP
#define OVERLAP 0       /* a visibility timeout or a lease ends under a live worker */
#endif
/* Settings */
#ifndef MAXATT
#define MAXATT 2
#endif
#ifndef MAXRED
#define MAXRED 1
#endif
#ifndef MAXRC
#define MAXRC 3         /* template.yaml: maxReceiveCount */
#endif
#ifndef NC
#define NC 6            /* copies on both queues */
#endif
#ifndef CONT
#define CONT 0          /* OnDeadLetter=continue */
#endif
#ifndef INVALID
#define INVALID 1       /* a try may also fail for good */
#endif
#ifndef LETTERS
#define LETTERS 0       /* the messages are dead letters when the story begins */
#endif
#ifndef EDIT
#define EDIT 0
#endif

#define N1 (N+1)
#define C1 (NC+2)
#define GONE (NC+1)     /* in place of a copy that was deleted */
#define R1 (NR+2)
#define HEALRUN (NR+1)
#define LANE1 (NR+1+LANES)  /* processes of runs: one for each run, and the second lane of the first */
#define RUN(q) ((q) > HEALRUN -> 1 : (q))
#define RM 5
#define GM 8
#define OTHER 255

/* Where a row's message is: ACCEPTED counts as QUEUED */
#define NONE 0
#define QUEUED 1
#define PROCESSING 2
#define RETRYING 3
#define PARKED 4
#define DEAD 5
#define QUARANTINED 6
#define REDRIVEN 7
#define PROCESSED 8
#define DISCARDED 9
/* `trouble` of a REDRIVEN row */
#define T_NONE 0
#define T_DEAD 1        /* let go of */
#define T_REDRIVING 2
#define T_SENDING 3
#define BYHAND 99       /* redrive_mark */

/* Rows of the ledger, by message */
byte status[N1], trouble[N1], redrives[N1], limit[N1], attempts[N1], total[N1] /* attempts_total */, copies[N1], sqs_id[N1], mark[N1], redriven_by[N1];
bit leased[N1], body[N1], final[N1];
byte taker[N1]; bit sole[N1];                   /* the function that took a RETRYING row last; no lease ran when it did */
bit effect[N1], died[N1];                       /* had its effect; was dead or quarantined under `continue` */
#if EDIT
bit ver[N1], cv[C1];                            /* which body row and copy have */
#define VER(m) ver[m]
#else
#define VER(m) 0
#endif
byte holder, generation, execution, waiting;    /* FENCE; waiting: parked - drained */
byte parked[N1], n_parked;                      /* PARKED#… in order */
/* Queues */
byte copy_of[C1], receives[C1], flight[C1];     /* copies: message, receive count, whom it is in flight with */
byte wb0[NW], wb1[NW], rb0[LANE1], rb1[LANE1];  /* copies that worker and lane have */
byte work[NC], n_work, dlq[NC], n_dlq, w_flight, d_flight;
byte w_ids[N1], d_ids[N1];                      /* deduplication ids used: bit k is <id>.r<k> */
/* Executions and runs */
int used[4];                                    /* names of executions, taken for ever */
byte running[NX]; bit asleep[NX];               /* its name; stopped for now */
byte xpc[NX], xh[NX], xg[NX], xp[NX], xa[NX], xk[NX]; bit xv[NX];      /* retry.pml */
byte record[R1], lock; bit lockx;               /* record: 1 runs, 2 is over, 3 was abandoned; the lock of a run that is gone is as good as free */
#if LANES > 1
byte lanes[R1]; bit failed[R1];                 /* lanes at work; one of them did not end well */
#define AT_WORK_FOR(q) lanes[q]
#else
#define AT_WORK_FOR(q) 0
#endif
/* Who is at what: for what time guarantees, and for the grace of 60 s (fence.START_GRACE_SECONDS, mend.SENDING_SECONDS) */
byte working[NW], functions[N1];                /* the message that a live worker has claimed; live functions that claimed one */
byte mending, pendw, pendo;
byte to_mend; bit to_run; byte heal;            /* what Healer asks for */
byte fails = FAILS, over = OVERLAP;
#if TROUBLES
byte troubles = TROUBLES;
#define crash troubles
#define lost troubles
#define native troubles
#define ops troubles
#define slow troubles
#define sweeps troubles
#define zombies troubles
#define ghosts troubles
#else
byte crash = CRASH, lost = LOST, native = NATIVE, ops = OPS, slow = SLOW, sweeps = SWEEPS, zombies = ZOMBIE, ghosts = GHOSTS;
#endif
byte nsent; bit bound;                          /* bound: the model is too small for this way; not followed */
byte g_pc, g_m, g_a; bit g_v;                   /* a function that outlives its execution's wait */
byte urgent;                                    /* who moves next, if not anyone */
hidden byte z, z2, z3;
hidden byte zb;
/* Fewer states, and no behaviour less.
 *
 * What nothing looks at again is zeroed; copies are numbered as they stand in the queues, and executions by their names. Who is
 * `urgent` (a _pid) moves before all others: where its next step neither sees what others do nor hinders them (it shows, frees,
 * deletes or ends what is its own, or reads what nobody uses), each story has its like in which that step comes at once. A crash
 * or a lost answer there is another step of the same process, and what else befalls it (a timeout) may as well come before. */
#define MAY_MOVE (!bound && (urgent == 0 || urgent == _pid))

/* Where an execution is, retry.pml */
#define X_INSPECT 1
#define X_GUARD 2
#define X_CLAIM 3       /* WaitBackoff is over: the function begins */
#define X_PROCESS 4
#define X_PROCESSED 5
#define X_NEXT 6
#define X_PROMOTE 7
#define X_DROP 8
#define X_RELEASE 9
#define X_FENCE 10
#define X_DEAD_LETTER 11
#define X_MARK 12
#define ARN(m,r,g) (1 + (((m)-1)*RM + (r))*GM + (g))
#define ARNM(a) ((((a)-1)/(RM*GM)) + 1)
#define ARNG(a) (((a)-1)%GM)
#define USED(a) ((used[(a)/32] >> ((a)%32)) & 1)

inline has_copy(m) { /* -> zb */
  zb = 0;
  for (z : 1 .. NC) { if :: copy_of[z] == m -> zb = 1 :: else -> skip fi };
}
inline in_parked(m) { zb = 0; for (z : 1 .. N) { if :: z <= n_parked && parked[z] == m -> zb = 1 :: else -> skip fi }; }

hidden byte zmap[C1], zcopy[C1], zrec[C1], zfl[C1];
hidden byte zcv[C1];
#if OVERLAP
#define in_row()
#else
inline in_row() { /* copies are numbered as they are in the queues: which has which number makes no difference */
  zmap[0] = 0; zb = 1;
  for (z : 1 .. GONE) { zmap[z] = GONE };
  for (z : 0 .. NC-1) { if :: z < n_work -> zmap[work[z]] = z + 1; zb = zb && work[z] == z + 1 :: else -> skip fi };
  for (z : 0 .. NC-1) { if :: z < n_dlq -> zmap[dlq[z]] = n_work + z + 1; zb = zb && dlq[z] == n_work + z + 1 :: else -> skip fi };
  if :: zb -> skip
     :: else ->
        for (z : 1 .. NC) { zcopy[z] = copy_of[z]; zrec[z] = receives[z]; zfl[z] = flight[z]; copy_of[z] = 0; receives[z] = 0; flight[z] = 0;
#if EDIT
          zcv[z] = cv[z]; cv[z] = 0
#endif
        };
        for (z : 1 .. NC) { if :: zmap[z] == GONE -> skip :: else -> copy_of[zmap[z]] = zcopy[z]; receives[zmap[z]] = zrec[z]; flight[zmap[z]] = zfl[z];
#if EDIT
          cv[zmap[z]] = zcv[z];
#endif
          skip fi };
        for (z : 0 .. NC-1) { if :: z < n_work -> work[z] = z + 1 :: else -> skip fi; if :: z < n_dlq -> dlq[z] = n_work + z + 1 :: else -> skip fi };
        for (z : 1 .. N) { if :: sqs_id[z] != OTHER -> sqs_id[z] = zmap[sqs_id[z]] :: else -> skip fi };
        for (z : 0 .. NW-1) { wb0[z] = zmap[wb0[z]]; wb1[z] = zmap[wb1[z]] };
        for (z : 1 .. LANE1 - 1) { rb0[z] = zmap[rb0[z]]; rb1[z] = zmap[rb1[z]] }
  fi; z = 0; zb = 0
}
#endif
#if NX > 1
#define KEEPS_COUNT(y, m) (xh[y] == m && (xpc[y] == X_DEAD_LETTER || xpc[y] == X_MARK))
#define COUNT_KEPT(m) (KEEPS_COUNT(0, m) || KEEPS_COUNT(1, m))
#else
#define COUNT_KEPT(m) (xh[0] == m && (xpc[0] == X_DEAD_LETTER || xpc[0] == X_MARK))
#endif
inline tidy() {
  for (z : 1 .. N) {
    if :: trouble[z] != T_REDRIVING -> redriven_by[z] = 0 :: else -> skip fi;
    if :: status[z] != REDRIVEN && mark[z] == BYHAND -> mark[z] = 0 :: else -> skip fi;
    if :: !leased[z] -> taker[z] = 0 :: else -> skip fi;
    if :: taker[z] == 0 -> sole[z] = 0 :: else -> skip fi;
    if :: COUNT_KEPT(z) -> skip :: else -> copies[z] = 0 fi };
  in_row();
  for (z2 : 1 .. HEALRUN) {
    if :: record[z2] == 3 && !AT_WORK_FOR(z2) -> zb = 0; for (z : 1 .. N) { if :: redriven_by[z] == z2 -> zb = 1 :: else -> skip fi }; if :: !zb -> record[z2] = 2 :: else -> skip fi
       :: else -> skip fi };
  z = 0; z2 = 0; zb = 0
}
inline promises() {
  tidy();
  if :: bound -> skip :: else ->
  if :: holder == 0 -> assert(n_parked == 0 && waiting == 0) :: else -> assert(waiting == n_parked) fi;      /* COUNT: the fence knows how many are parked */
  for (z2 : 1 .. N) {
    if :: z2 > nsent -> skip
       :: else ->
          assert(redrives[z2] <= limit[z2]);                     /* BUDGET */
          if :: status[z2] == PROCESSED || status[z2] == DISCARDED -> skip
             :: status[z2] == RETRYING || status[z2] == QUARANTINED -> assert(body[z2])
             :: status[z2] == PARKED -> in_parked(z2); assert(zb)                    /* LOSS: parked and nowhere */
             :: status[z2] == REDRIVEN && body[z2] && (trouble[z2] == T_SENDING || trouble[z2] == T_DEAD) -> skip
             :: else -> has_copy(z2); assert(zb)                                     /* LOSS: on no queue, DEAD too */
          fi
    fi };
  fi;
  z = 0; z2 = 0;
}
inline have_effect(m, v) { /* transaction.process: once by the message's id */
  if :: effect[m] -> skip
     :: else ->
        assert(status[m] != DISCARDED);                          /* EFFECT AFTER DISCARD */
        assert((v) == VER(m));                                   /* EFFECT OF AN OLD BODY */
        for (z : 1 .. N) { if :: z < m -> assert(effect[z] || status[z] == DISCARDED || (CONT && died[z])) :: else -> skip fi };  /* ORDER */
        z = 0;
        effect[m] = 1
  fi
}

inline alloc() { /* -> z3 */
  z3 = 0;
  for (z : 1 .. NC) { if :: z3 == 0 && copy_of[z] == 0 -> z3 = z :: else -> skip fi };
  z = 0;
}
inline forget_id(c) { for (z : 1 .. N) { if :: sqs_id[z] == (c) -> sqs_id[z] = OTHER :: else -> skip fi }; z = 0; }
inline free_copy(c) { copy_of[c] = 0; receives[c] = 0; flight[c] = 0; forget_id(c);
#if EDIT
  cv[c] = 0;
#endif
}
inline enq_work(m, v) {
  alloc();
  if :: z3 == 0 -> bound = 1
     :: else -> copy_of[z3] = m;
#if EDIT
        cv[z3] = v;
#endif
        work[n_work] = z3; n_work++ fi; z3 = 0;
}
inline enq_dlq(m, v) {
  alloc();
  if :: z3 == 0 -> bound = 1
     :: else -> copy_of[z3] = m;
#if EDIT
        cv[z3] = v;
#endif
        dlq[n_dlq] = z3; n_dlq++ fi; z3 = 0;
}
inline del_work(c) { /* take it out of the order */
  z2 = 0;
  for (z : 0 .. NC-1) {
    if :: z < n_work && work[z] == (c) -> z2 = 1 :: else -> skip fi;
    if :: z2 == 1 -> if :: z + 1 < n_work -> work[z] = work[z+1] :: else -> work[z] = 0 fi :: else -> skip fi };
  n_work = n_work - z2; z = 0; z2 = 0;
}
inline del_dlq(c) {
  z2 = 0;
  for (z : 0 .. NC-1) {
    if :: z < n_dlq && dlq[z] == (c) -> z2 = 1 :: else -> skip fi;
    if :: z2 == 1 -> if :: z + 1 < n_dlq -> dlq[z] = dlq[z+1] :: else -> dlq[z] = 0 fi :: else -> skip fi };
  n_dlq = n_dlq - z2; z = 0; z2 = 0;
}
inline del_parked(m) {
  z2 = 0;
  for (z : 1 .. N) {
    if :: z <= n_parked && parked[z] == (m) -> z2 = 1 :: else -> skip fi;
    if :: z2 == 1 -> if :: z + 1 <= n_parked -> parked[z] = parked[z+1] :: else -> parked[z] = 0 fi :: else -> skip fi };
  n_parked = n_parked - z2; z = 0; z2 = 0;
}
inline no_fence() { holder = 0; generation = 0; execution = 0; waiting = 0 }
#define SWAP(b) zb = b[0]; b[0] = b[1]; b[1] = zb
inline in_order() { /* which of two executions is 0 makes no difference */
#if NX == 2
  if :: running[0] < running[1] ->
        SWAP(running); SWAP(asleep); SWAP(xpc); SWAP(xh); SWAP(xg); SWAP(xp); SWAP(xa); SWAP(xk); SWAP(xv); zb = 0;
        for (z : 1 .. N) { if :: taker[z] == 1 -> taker[z] = 2 :: taker[z] == 2 -> taker[z] = 1 :: else -> skip fi }; z = 0
     :: else -> skip
  fi
#else
  skip
#endif
}
inline start_execution(a) { /* retry.start: a name is taken once */
  if :: (a) == 0 || USED(a) -> skip
     :: else ->
        z3 = NX;
        for (z : 0 .. NX-1) { if :: z3 == NX && running[z] == 0 -> z3 = z :: else -> skip fi };
        if :: z3 < NX -> running[z3] = a; xh[z3] = ARNM(a); xg[z3] = ARNG(a); xpc[z3] = X_INSPECT; used[(a)/32] = used[(a)/32] | (1 << ((a)%32))
           :: else -> skip  /* the call failed: the sweep finds a fence whose execution never began */
        fi; z = 0; z3 = 0; in_order()
  fi
}
/* who starts it for a message that just failed tells which try that was; if it is another by now, the guard refuses */
inline told(a) { for (z : 0 .. NX-1) { if :: running[z] == (a) && xpc[z] == X_INSPECT -> xpc[z] = X_GUARD; xa[z] = total[xh[z]] :: else -> skip fi }; z = 0 }
#define PEND(a) (pendw == (a) || pendo == (a))
#if NX > 1
#define RUNNING(a) ((a) != 0 && (PEND(a) || (running[0] == (a) && !asleep[0]) || (running[1] == (a) && !asleep[1])))
#else
#define RUNNING(a) ((a) != 0 && (PEND(a) || (running[0] == (a) && !asleep[0])))
#endif
inline note_processed(m) { /* ledger.processed. Zeroed is what nothing looks at again: fewer states */
  status[m] = PROCESSED; trouble[m] = 0; leased[m] = 0; taker[m] = 0; sole[m] = 0; body[m] = 0; final[m] = 0;
  attempts[m] = 0; total[m] = 0; copies[m] = 0; sqs_id[m] = 0; mark[m] = 0; redriven_by[m] = 0; limit[m] = redrives[m]; w_ids[m] = 0; d_ids[m] = 0;
}
#define WAITS_ALONE(s) (s == QUEUED || s == REDRIVEN || s == PROCESSING || ((s == DEAD || s == QUARANTINED) && !CONT))   /* recovery._needs_nobody */
/* ledger.FREE: nobody is at it. Whatever begins another life of a message waits for that. */
#ifdef MUTANT_FREE
#define FREE(m) (status[m] != PROCESSING || !leased[m])
#else
#define FREE(m) !leased[m]
#endif
#define MENDABLE(m) ((status[m] == DEAD || status[m] == QUARANTINED || (status[m] == REDRIVEN && trouble[m] == T_DEAD)) && body[m] && FREE(m))
#define MOVED(m) ((status[m] == DEAD || status[m] == PROCESSING) && FREE(m))    /* ledger.MOVED */
#if NW > 1
#define NOBODY_AT(m) (working[0] != m && working[1] != m && functions[m] == 0)
#else
#define NOBODY_AT(m) (working[0] != m && functions[m] == 0)
#endif

#include "consumer.pml"
#include "retry.pml"
#include "redrive.pml"
#include "people.pml"
#include "world.pml"

init {
  atomic {
    run World(); run Consumer(0);
#if NW > 1
    run Consumer(1);
#endif
    run RetryMachine(0);
#if NX > 1
    run RetryMachine(1);
#endif
#if NR > 0
    run RedriveRun(1);
#endif
#if NR > 1
    run RedriveRun(2);
#endif
    run RedriveRun(HEALRUN);
#if LANES > 1
    run RedriveRun(HEALRUN + 1);
#endif
    run Operator(); run Sweep(); run Resend();
#if GHOSTS
    run StrayFunction();
#endif
    run Healer()
  }
}
