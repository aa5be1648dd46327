/* A redrive run with its lane: statemachines/redrive.asl.json, redrive_lane.asl.json and workflows/redrive. The verdict is a read; GuardLoop's statements have the last word. */
/* With LANES=2 the first run has two, which share its lock, its mark and its record, and settle what they sent themselves; its end is that of its last lane. A run may end
 * without its lanes, which then go on until their guard finds the lock gone, with all that they had decided: their sends come as late as may be. With one lane, a run that is
 * stopped stops its lane with it: what a lane does that goes on, world.visibility and a lease that is over let a slow run do. */
/* The code lets go at the end of a leg, here it does so before the next receive: what the run receives again before is left either way, by its mark; and what had none, because the guard refused it, is not let go of any more when the run was asked about it again (workflows/redrive/lane.py tally). */
#define R_ACQUIRE 1
#define R_RECEIVE 2
#define R_VALIDATE 3
#define R_GUARD 4
#define R_SEND 5
#define R_DELETE 6
#define R_HOLD 7
#define R_LET_GO 8
#define R_FINISH 9
#define V_REDRIVE 1
#define V_QUARANTINE 2
#define V_SETTLED 3
#define V_LEFT 4
#define MINE_IN_FLIGHT (10 + q)     /* flight[] of what this run has received */
/* of the message whose turn it is: verdict, copy, message; redrives, status, attempts_total and body as read */
#define b0 rb0[q]
#define b1 rb1[q]
#define VERDICT ((1-i)*k0 + i*k1)
#define LETTER ((1-i)*b0 + i*b1)
#define ABOUT ((1-i)*m0 + i*m1)
#define READ_REDRIVES ((1-i)*r0 + i*r1)
#define READ_STATUS ((1-i)*s0 + i*s1)
#define READ_TOTAL ((1-i)*a0 + i*a1)
#define LEASED(m) (status[m] == PROCESSING && leased[m])
#define UNNOTED(s) (s == QUEUED || s == PROCESSING)
#ifdef MUTANT_RUN_ATTEMPT
#define SAME_ROW(m, r, n) (redrives[m] == r)
#else
#define SAME_ROW(m, r, n) (redrives[m] == r && total[m] == n)
#endif
#if EDIT
#define SAME_BODY(m) (VER(m) == ((1-i)*v0 + i*v1))
#else
#define SAME_BODY(m) 1
#endif
#ifdef MUTANT_DEDUPLICATION
#define DEDUPLICATION READ_REDRIVES
#else
#define DEDUPLICATION (READ_REDRIVES + 1)
#endif
#ifdef MUTANT_DELETE_FIRST
#define MAY_SEND (pc == R_SEND && gone)
#else
#define MAY_SEND (pc == R_SEND)
#endif

inline judge(m, k, r, s, u, n0, v) { /* judgement.of, _verdict, _in_other_hands */
  s = status[m]; r = redrives[m]; n0 = total[m]; u = (UNNOTED(status[m]) && !LEASED(m)); v = VER(m);
  if :: status[m] == PROCESSED || status[m] == PARKED || status[m] == QUARANTINED || status[m] == DISCARDED -> k = V_SETTLED
     :: status[m] == RETRYING -> k = V_LEFT
     :: (status[m] == DEAD || status[m] == REDRIVEN || status[m] == QUEUED || status[m] == PROCESSING) ->
        if :: LEASED(m) || (status[m] == REDRIVEN && mark[m] == BYHAND) || mark[m] == RUN(q) -> k = V_LEFT
           :: else -> k = (redrives[m] >= limit[m] -> V_QUARANTINE : V_REDRIVE) fi
  fi;
  if :: k == V_SETTLED || (k == V_LEFT && !u) -> r = 0; s = 0; n0 = 0; v = 0
     :: k == V_LEFT && u -> v = 0
     :: k == V_REDRIVE && !u -> s = 0
     :: else -> skip
  fi
}
inline untouched(m) { assert(working[0] != m || over < OVERLAP) }   /* WORKER ROBBED: a live one's claim is left alone */
inline note_dead(m) { untouched(m); status[m] = DEAD; body[m] = 1; trouble[m] = 0; attempts[m] = 0; sqs_id[m] = 0 }
inline r_show(c) { if :: c != 0 && flight[c] == MINE_IN_FLIGHT -> flight[c] = 0; d_flight-- :: else -> skip fi }
inline r_clear() { b0 = 0; b1 = 0; m0 = 0; m1 = 0; k0 = 0; k1 = 0; r0 = 0; r1 = 0; s0 = 0; s1 = 0; u0 = 0; u1 = 0; a0 = 0; a1 = 0; v0 = 0; v1 = 0; i = 0; n = 0; x0 = 0; x1 = 0; gone = 0 }
inline r_end() { /* what it holds becomes visible: at once, by the sweep or by time */
  for (z : 1 .. NC) { if :: flight[z] == MINE_IN_FLIGHT -> flight[z] = 0; d_flight-- :: else -> skip fi }; z = 0;
  if :: AT_WORK_FOR(RUN(q)) -> skip
     :: else -> for (z : 1 .. N) { if :: mark[z] == RUN(q) -> mark[z] = 0 :: else -> skip fi } fi; z = 0; r_clear(); urgent = 0; pc = 0 }
#if LANES > 1
/* the run ends when its last lane does */
#define LANE_BEGINS lanes[RUN(q)]++
inline r_finish() {
  lanes[RUN(q)]--;
  if :: lanes[RUN(q)] == 0 ->
        if :: record[RUN(q)] == 1 && lock == RUN(q) && !failed[RUN(q)] -> record[RUN(q)] = 2 :: else -> record[RUN(q)] = 3 fi;
        failed[RUN(q)] = 0;
        if :: lock == RUN(q) -> lock = 0; lockx = 0 :: else -> skip fi
     :: else -> skip fi; r_end() }
inline r_fail() { failed[RUN(q)] = 1; r_finish() }
inline r_crash() { if :: pc == R_ACQUIRE -> record[q] = 3; r_end() :: else -> r_fail() fi }
#else
#define LANE_BEGINS skip
inline r_finish() { if :: lock == q -> lock = 0; lockx = 0; record[q] = 2 :: else -> record[q] = 3 fi; r_end() }
inline r_fail() { record[q] = 3; r_end() }
inline r_crash() { record[q] = 3; if :: lock == q -> lock = 0; lockx = 0 :: else -> skip fi; r_end() }
#endif
inline r_done(bb, mm, kk, rr, xx) { /* the rest of it is not looked at */
  if :: bb != 0 && flight[bb] == MINE_IN_FLIGHT -> skip :: else -> bb = 0 fi;
  if :: xx -> skip :: else -> mm = 0; rr = 0 fi;
  if :: kk == V_LEFT -> skip :: else -> kk = V_SETTLED fi
}
inline r_next() { if :: i == 0 -> r_done(b0, m0, k0, r0, x0) :: else -> r_done(b1, m1, k1, r1, x1) fi; i++; if :: i < n -> pc = R_GUARD; urgent = 0 :: else -> to_hold() fi }
inline to_hold() { pc = R_HOLD; urgent = _pid }
inline to_delete() { pc = R_DELETE; urgent = _pid }
#if NR > 1 || LANES > 1
#define FINISHES_ALONE skip
inline to_acquire() { pc = R_ACQUIRE }
#else
#define FINISHES_ALONE urgent = _pid      /* nobody else wants the lock */
inline to_acquire() { pc = R_ACQUIRE; urgent = _pid }
#endif

#ifdef MUTANT_LEASE
#define LEASE_LOST 0
#else
#define LEASE_LOST (lock != RUN(q))
#endif
proctype RedriveRun(byte q) provided (MAY_MOVE) {
  byte pc, n, i, m0, m1, k0, k1, r0, r1, s0, s1, a0, a1; bit u0, u1, v0, v1, x0, x1, gone, began;   /* u: unnoted; x: refused after the guard */
  do
  :: d_step { /* @redrive.begin */ pc == 0 && q <= NR && record[q] == 0 && n_dlq > 0 && !heal -> to_acquire() }
#if LANES > 1
  :: d_step { /* @redrive.begin lane */ pc == 0 && q > HEALRUN && !began && record[1] == 1 && n_dlq > 0 && !heal -> began = 1; LANE_BEGINS; pc = R_RECEIVE }
  /* the run's execution is gone and its lanes go on */
  :: d_step { /* @world.crash run alone */ q <= NR && crash > 0 && lanes[q] > 0 && record[q] == 1 -> crash--; record[q] = 3 }
#endif
  :: d_step { /* @world.people run */ pc == 0 && q == HEALRUN && to_run -> to_run = 0;
      for (z : 1 .. N) { if :: mark[z] == q -> mark[z] = 0 :: else -> skip fi }; z = 0; to_acquire() }
  :: d_step { /* @world.crash run */ pc != 0 && crash > 0 -> crash--; r_crash() }
  :: d_step { /* @redrive.acquire */ pc == R_ACQUIRE ->
      urgent = 0;
      if :: lock == 0 || lockx || record[lock] == 3 -> lock = q; lockx = 0; record[q] = 1; LANE_BEGINS; pc = R_RECEIVE
         :: else -> record[q] = 3; r_end() fi }
  :: d_step { /* @redrive.receive */ pc == R_RECEIVE && d_flight == 0 && n_dlq > 0 -> n = 1; b0 = dlq[0]; m0 = copy_of[b0]; flight[b0] = MINE_IN_FLIGHT; d_flight++; pc = R_VALIDATE }
  :: d_step { /* @redrive.receive two */ pc == R_RECEIVE && BATCH > 1 && d_flight == 0 && n_dlq > 1 ->
      n = 2; b0 = dlq[0]; m0 = copy_of[b0]; flight[b0] = MINE_IN_FLIGHT; b1 = dlq[1]; m1 = copy_of[b1]; flight[b1] = MINE_IN_FLIGHT; d_flight = d_flight + 2; pc = R_VALIDATE }
#ifdef MUTANT_GROUP
  :: d_step { /* @redrive.receive behind */ pc == R_RECEIVE && n_dlq > 1 && flight[dlq[0]] != 0 && flight[dlq[1]] == 0 -> n = 1; b0 = dlq[1]; m0 = copy_of[b0]; flight[b0] = MINE_IN_FLIGHT; d_flight++; pc = R_VALIDATE }
#endif
  :: d_step { /* @redrive.receive none */ pc == R_RECEIVE && (q != HEALRUN || d_flight > 0 || n_dlq == 0) -> pc = R_FINISH; FINISHES_ALONE }    /* empty, enough, cancelled, halted */
  :: d_step { /* @redrive.validate */ pc == R_VALIDATE ->
      judge(m0, k0, r0, s0, u0, a0, v0);
      if :: n == 2 ->
            judge(m1, k1, r1, s1, u1, a1, v1);
            if :: m1 == m0 -> k1 = V_LEFT; u1 = 0; r1 = 0; s1 = 0; a1 = 0; v1 = 0
               :: m1 != m0 && k0 == V_LEFT -> k1 = V_LEFT
               :: else -> skip fi
         :: else -> skip fi;
      i = 0; pc = R_GUARD }
  /* GuardLoop: each statement by itself */
  :: d_step { /* @redrive.guard */ pc == R_GUARD ->
      z = ABOUT;
      if :: VERDICT == V_REDRIVE ->
            if :: SAME_ROW(z, READ_REDRIVES, READ_TOTAL) && SAME_BODY(z) && redrives[z] < limit[z] && status[z] != PROCESSED && status[z] != DISCARDED && status[z] != QUARANTINED && status[z] != PARKED && status[z] != RETRYING ->
                  if :: ((1-i)*u0 + i*u1) -> trouble[z] = ((status[z] == DEAD) -> T_DEAD : ((status[z] == REDRIVEN) -> trouble[z] : 0))
                     :: else -> trouble[z] = T_REDRIVING fi;
                      /* a live worker's row */
                  untouched(z); status[z] = REDRIVEN; redrives[z]++; attempts[z] = 0; sqs_id[z] = 0; mark[z] = RUN(q); redriven_by[z] = RUN(q); z3 = R_SEND
               :: else -> z3 = R_HOLD fi                               /* refused */
         :: VERDICT == V_QUARANTINE ->
            if :: SAME_ROW(z, READ_REDRIVES, READ_TOTAL) && SAME_BODY(z) && status[z] == READ_STATUS ->
                  untouched(z); status[z] = QUARANTINED; body[z] = 1; trouble[z] = 0; attempts[z] = 0; sqs_id[z] = 0; redriven_by[z] = 0; z3 = R_DELETE
               :: else -> z3 = R_HOLD fi
         :: VERDICT == V_SETTLED -> z3 = R_DELETE
         :: VERDICT == V_LEFT -> z3 = R_HOLD
      fi;
      /* what is left and nobody noted as dead, with the first wave */
      if :: i == 0 && k0 == V_LEFT && u0 && SAME_ROW(m0, r0, a0) && status[m0] == s0 -> note_dead(m0) :: else -> skip fi;
      if :: i == 0 && n == 2 && k1 == V_LEFT && u1 && SAME_ROW(m1, r1, a1) && status[m1] == s1 -> note_dead(m1) :: else -> skip fi;
      z = 0;
      if :: LEASE_LOST -> r_fail()                                     /* LeaseLost: the lane is over, FailRun */
         :: else -> if :: z3 == R_HOLD && VERDICT == V_REDRIVE -> if :: i == 0 -> x0 = 1 :: else -> x1 = 1 fi :: else -> skip fi;
            if :: i == 0 -> s0 = 0; a0 = 0; u0 = 0; v0 = 0 :: else -> s1 = 0; a1 = 0; u1 = 0; v1 = 0 fi;
            assert(lock == RUN(q));                                    /* NO LOCK: who goes on after the guard has it */
            pc = z3; if :: pc == R_SEND -> skip :: else -> urgent = _pid fi
      fi;
      z3 = 0; promises() }
#ifdef MUTANT_DELETE_FIRST
  :: d_step { /* @redrive.delete first */ pc == R_SEND && !gone -> if :: flight[LETTER] == MINE_IN_FLIGHT -> del_dlq(LETTER); free_copy(LETTER); d_flight-- :: else -> skip fi; gone = 1; promises() }
#endif
  :: d_step { /* @redrive.send */ MAY_SEND && !((w_ids[ABOUT] >> DEDUPLICATION) & 1) -> enq_work(ABOUT, VER(ABOUT)); w_ids[ABOUT] = w_ids[ABOUT] | (1 << DEDUPLICATION); gone = 0; to_delete(); promises() }
  :: d_step { /* @redrive.send window */ MAY_SEND && ((w_ids[ABOUT] >> DEDUPLICATION) & 1) -> enq_work(ABOUT, VER(ABOUT)); to_delete(); promises() }     /* the window of deduplication is over */
  :: d_step { /* @redrive.send taken */ MAY_SEND && ((w_ids[ABOUT] >> DEDUPLICATION) & 1) -> to_delete(); promises() }                                  /* taken, not delivered */
  :: d_step { /* @redrive.send lost */ MAY_SEND && lost > 0 && !((w_ids[ABOUT] >> DEDUPLICATION) & 1) -> lost--; enq_work(ABOUT, VER(ABOUT)); w_ids[ABOUT] = w_ids[ABOUT] | (1 << DEDUPLICATION) }
  :: d_step { /* @redrive.send refused */ MAY_SEND && lost > 0 -> lost--; if :: i == 0 -> x0 = 1 :: else -> x1 = 1 fi; to_hold() }
  :: d_step { /* @redrive.delete */ pc == R_DELETE -> if :: LETTER != 0 && flight[LETTER] == MINE_IN_FLIGHT -> del_dlq(LETTER); free_copy(LETTER); d_flight-- :: else -> skip fi; r_next(); promises() }
  :: d_step { /* @redrive.delete refused */ pc == R_DELETE && lost > 0 -> lost--; r_next() }
  /* HoldDeadLetters: what was refused is visible, what is left stays in flight */
  :: d_step { /* @redrive.hold */ pc == R_HOLD ->
      urgent = 0;
      if :: k0 != V_LEFT -> r_show(b0) :: else -> skip fi;
      if :: k1 != V_LEFT -> r_show(b1) :: else -> skip fi;
      if :: x0 || x1 -> pc = R_LET_GO :: else -> r_clear(); pc = R_RECEIVE fi }
  :: d_step { /* @redrive.let_go */ pc == R_LET_GO ->
      if :: x0 && redrives[m0] == r0 + 1 && status[m0] == REDRIVEN && trouble[m0] == T_REDRIVING && redriven_by[m0] == RUN(q) -> status[m0] = DEAD; trouble[m0] = 0; redriven_by[m0] = 0 :: else -> skip fi;
      if :: x1 && redrives[m1] == r1 + 1 && status[m1] == REDRIVEN && trouble[m1] == T_REDRIVING && redriven_by[m1] == RUN(q) -> status[m1] = DEAD; trouble[m1] = 0; redriven_by[m1] = 0 :: else -> skip fi;
      r_clear(); pc = R_RECEIVE; promises() }
  :: d_step { /* @redrive.finish */ pc == R_FINISH -> r_finish() }
  od
}
#undef b0
#undef b1
