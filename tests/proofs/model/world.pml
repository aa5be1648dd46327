/* What nobody here decides: the producer, SQS, the ends of leases; and the end of each story. */
#define ABANDONED(q) (record[q] == 3)                                      /* runs.was_abandoned */
#define LEASE_ENDS(m) \
  :: d_step { leased[m] && (over > 0 || NOBODY_AT(m)) -> if :: NOBODY_AT(m) -> skip :: else -> over-- fi; leased[m] = 0; taker[m] = 0; sole[m] = 0 }
/* The record of a run says besides what was sent for certain, which the sweep then leaves alone: here it may list that, too. */
#define LET_GO(m) \
  :: d_step { status[m] == REDRIVEN && trouble[m] == T_REDRIVING && redriven_by[m] != 0 && ABANDONED(redriven_by[m]) -> trouble[m] = T_DEAD; promises() }
#define TOO_OFTEN(k) \
  :: d_step { w_flight == 0 && k < n_work && receives[work[k]] >= MAXRC -> z3 = work[k]; del_work(z3); dlq[n_dlq] = z3; n_dlq++; receives[z3] = 0; z3 = 0; promises() }

proctype World() provided (MAY_MOVE) {
  do
#if LETTERS
  /* a worker died of them three times: the group is fenced, and SQS has moved all */
  :: d_step { /* @world.produce dead letters */ nsent == 0 ->
      for (z2 : 1 .. N) { status[z2] = PROCESSING; limit[z2] = MAXRED; attempts[z2] = 1; total[z2] = 1; enq_dlq(z2, 0); sqs_id[z2] = z2; w_ids[z2] = 1 };
      z2 = 0; nsent = N; holder = 1; promises() }
#else
  :: d_step { /* @world.produce */ nsent < N -> nsent++; status[nsent] = QUEUED; limit[nsent] = MAXRED; enq_work(nsent, 0); w_ids[nsent] = 1; promises() }
#endif
  /* StartMessageMoveTask, message by message: the same bytes under a new id */
  :: d_step { /* @world.native_move */ native > 0 && n_dlq > 0 && d_flight == 0 -> native--; z3 = dlq[0]; del_dlq(z3); forget_id(z3); receives[z3] = 0; work[n_work] = z3; n_work++; z3 = 0; promises() }
  TOO_OFTEN(0) /* @world.dead_letter_move */
  TOO_OFTEN(1) /* @world.dead_letter_move */
  TOO_OFTEN(2) /* @world.dead_letter_move */
  LEASE_ENDS(1) /* @world.lease */
  LET_GO(1) /* @sweep.let_go */
#if N > 1
  LEASE_ENDS(2) /* @world.lease */
  LET_GO(2) /* @sweep.let_go */
#endif
#if N > 2
  LEASE_ENDS(3) /* @world.lease */
  LET_GO(3) /* @sweep.let_go */
#endif
  :: d_step { /* @world.visibility worker */ over > 0 && w_flight > 0 -> over--; for (z : 1 .. NC) { if :: flight[z] > 0 && flight[z] <= NW -> flight[z] = 0; w_flight-- :: else -> skip fi }; z = 0 }
  :: d_step { /* @world.visibility run */ slow > 0 && d_flight > 0 -> slow--; for (z : 1 .. NC) { if :: flight[z] >= 10 -> flight[z] = 0; d_flight-- :: else -> skip fi }; z = 0 }
  :: d_step { /* @world.run_lease */ NR > 1 && slow > 0 && lock != 0 && !lockx -> slow--; lockx = 1 }
#if LANES > 1
  :: d_step { /* @sweep.free_lock */ lock != 0 && record[lock] == 3 -> lock = 0; lockx = 0 }
#endif
  od
}

/* When nothing more happens: everything works from now on, and people redrive and retry until nothing is left to do. */
proctype Healer() provided (MAY_MOVE) {
  do
  :: atomic { /* @world.people */ timeout ->
      d_step {
      crash = 0; lost = 0; native = 0; fails = 0; slow = 0; sweeps = 0; zombies = 0; over = 0; ops = 0; ghosts = 0;
      heal++; assert(heal < 12);                                         /* NO END */
      z3 = 0;
      for (z : 1 .. N) { if :: z3 == 0 && MENDABLE(z) -> z3 = z :: else -> skip fi }; z = 0;
      if :: n_dlq > 0 && !(heal > 6 && z3 > 0) -> to_run = 1
         :: else ->
            if :: z3 > 0 -> to_mend = z3
               :: else ->
                  assert(holder == 0 && n_parked == 0 && n_work == 0);   /* FENCED FOR EVER */
                  for (z : 1 .. N) { assert(status[z] == PROCESSED || status[z] == DISCARDED) }; z = 0;
                  heal = 99
            fi
      fi; z3 = 0 };
      if :: heal == 99 -> break :: else -> skip fi }
  od;
  done: false
}
